import type { ComponentChildren, FunctionComponent } from 'preact';

/** An icon is decoration: what it means stands next to it, or in the label of its button. */
export type Icon = FunctionComponent<{ size?: number; class?: string }>;

function icon(name: string, drawing: ComponentChildren, filled = false): Icon {
  const Drawn: Icon = ({ size = 16, class: className }) => (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill={filled ? 'currentColor' : 'none'}
      stroke={filled ? 'none' : 'currentColor'}
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      class={className}
    >
      {drawing}
    </svg>
  );
  Drawn.displayName = name;
  return Drawn;
}

const circle = <circle cx="8" cy="8" r="6.25" />;

export const NowIcon = icon('NowIcon', <path d="M1.5 8.5h3l2-5 3 9 2-4h3" />);
export const RequestsIcon = icon('RequestsIcon', <path d="M2.5 4h11M2.5 8h11M2.5 12h7" />);
export const AccountsIcon = icon(
  'AccountsIcon',
  <>
    <circle cx="6" cy="5.5" r="2.75" />
    <path d="M1.5 13.5c.3-2.6 2-4 4.5-4s4.2 1.4 4.5 4M11 3.1a2.6 2.6 0 0 1 0 4.8M12.3 10c1.3.6 2.1 1.8 2.2 3.5" />
  </>,
);
export const UsageIcon = icon('UsageIcon', <path d="M2.5 13.5h11M4.5 11V8M8 11V3M11.5 11V5.5" />);
export const KeysIcon = icon(
  'KeysIcon',
  <>
    <circle cx="5" cy="11" r="2.75" />
    <path d="m7 9 6.5-6.5M10.5 5.5l2 2M12.25 3.75l1.25 1.25" />
  </>,
);
export const CanaryIcon = icon(
  'CanaryIcon',
  <path d="M2 13.5c4 .5 9.5-.5 9.5-6.5V5.5a2.75 2.75 0 0 0-5.5 0C6 8 4 8.5 2.5 10.5M11.5 5.5l2.5.75-2.5 1M9 5.25v.01" />,
);
export const SettingsIcon = icon(
  'SettingsIcon',
  <>
    <path d="M2 4.5h5.5M11.5 4.5H14M2 11.5h2.5M8.5 11.5H14" />
    <circle cx="9.5" cy="4.5" r="1.9" />
    <circle cx="6.5" cy="11.5" r="1.9" />
  </>,
);
export const OkIcon = icon(
  'OkIcon',
  <>
    {circle}
    <path d="m5.25 8.25 2 2 3.5-4" />
  </>,
);
export const NoticeIcon = icon(
  'NoticeIcon',
  <>
    {circle}
    <path d="M8 7.5v3.5M8 5v.01" />
  </>,
);
export const WarningIcon = icon('WarningIcon', <path d="M8 2.25 14.25 13.25H1.75zM8 6.5v3M8 11.4v.01" />);
export const DangerIcon = icon(
  'DangerIcon',
  <path d="M5.4 1.75h5.2l3.65 3.65v5.2l-3.65 3.65H5.4L1.75 10.6V5.4zM8 4.75V8.5M8 11.1v.01" />,
);
export const IdleIcon = icon(
  'IdleIcon',
  <>
    {circle}
    <path d="M5.25 8h5.5" />
  </>,
);
export const AccentIcon = icon('AccentIcon', <circle cx="8" cy="8" r="3.5" fill="currentColor" />);
export const PauseIcon = icon('PauseIcon', <path d="M5.5 3.5v9M10.5 3.5v9" />);
export const PlayIcon = icon('PlayIcon', <path d="M5 3.25v9.5L12.75 8z" />);
export const StopIcon = icon('StopIcon', <rect x="3.75" y="3.75" width="8.5" height="8.5" rx="1" />);
export const CloseIcon = icon('CloseIcon', <path d="m4 4 8 8M12 4l-8 8" />);
export const CheckIcon = icon('CheckIcon', <path d="m3 8.5 3.25 3.25L13 4.75" />);
export const PlusIcon = icon('PlusIcon', <path d="M8 3v10M3 8h10" />);
export const MinusIcon = icon('MinusIcon', <path d="M3 8h10" />);
export const EditIcon = icon('EditIcon', <path d="m10.25 3.25 2.5 2.5-7 7-3.25.75.75-3.25z" />);
export const TrashIcon = icon(
  'TrashIcon',
  <path d="M2.75 4.25h10.5M6 4V2.25h4V4M4 4.25l.6 9.5h6.8l.6-9.5M6.75 7v4M9.25 7v4" />,
);
export const CopyIcon = icon(
  'CopyIcon',
  <>
    <rect x="5.5" y="5.5" width="8" height="8" rx="1.25" />
    <path d="M3.5 10.5h-1v-8h8v1" />
  </>,
);
export const DownloadIcon = icon('DownloadIcon', <path d="M8 2.5v7.5M4.75 7 8 10.25 11.25 7M2.5 13.5h11" />);
export const UploadIcon = icon('UploadIcon', <path d="M8 10.25V2.75M4.75 6 8 2.75 11.25 6M2.5 13.5h11" />);
export const RefreshIcon = icon(
  'RefreshIcon',
  <path d="M13.25 8a5.25 5.25 0 1 1-1.5-3.7M13.25 2.25v2.5h-2.5" />,
);
export const SearchIcon = icon(
  'SearchIcon',
  <>
    <circle cx="7" cy="7" r="4.5" />
    <path d="m10.5 10.5 3.25 3.25" />
  </>,
);
export const FilterIcon = icon('FilterIcon', <path d="M2 3.5h12L9.5 8.75V13l-3-1.5V8.75z" />);
export const ColumnsIcon = icon(
  'ColumnsIcon',
  <>
    <rect x="2" y="3" width="12" height="10" rx="1" />
    <path d="M6 3v10M10 3v10" />
  </>,
);
export const TableIcon = icon(
  'TableIcon',
  <>
    <rect x="2" y="3" width="12" height="10" rx="1" />
    <path d="M2 6.5h12M6.5 6.5V13" />
  </>,
);
export const MoreIcon = icon(
  'MoreIcon',
  <>
    <circle cx="3" cy="8" r="1.25" />
    <circle cx="8" cy="8" r="1.25" />
    <circle cx="13" cy="8" r="1.25" />
  </>,
  true,
);
export const UpIcon = icon('UpIcon', <path d="M8 13V3.5M4 7l4-4 4 4" />);
export const DownIcon = icon('DownIcon', <path d="M8 3v9.5M4 9l4 4 4-4" />);
export const ChevronDownIcon = icon('ChevronDownIcon', <path d="m4 6 4 4 4-4" />);
export const ChevronRightIcon = icon('ChevronRightIcon', <path d="m6 4 4 4-4 4" />);
export const ChevronLeftIcon = icon('ChevronLeftIcon', <path d="m10 4-4 4 4 4" />);
export const ExternalIcon = icon('ExternalIcon', <path d="M6.5 3.5h-3v9h9v-3M9.5 2.5h4v4M13.5 2.5l-6 6" />);
export const UserIcon = icon(
  'UserIcon',
  <>
    <circle cx="8" cy="5.25" r="2.75" />
    <path d="M2.75 13.75c.35-2.9 2.3-4.25 5.25-4.25s4.9 1.35 5.25 4.25" />
  </>,
);
export const SignOutIcon = icon(
  'SignOutIcon',
  <path d="M9.5 2.5h-6v11h6M6.5 8h7.5M11.25 5.25 14 8l-2.75 2.75" />,
);
export const SunIcon = icon(
  'SunIcon',
  <>
    <circle cx="8" cy="8" r="2.75" />
    <path d="M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7" />
  </>,
);
export const MoonIcon = icon(
  'MoonIcon',
  <path d="M13.25 9.75A5.75 5.75 0 0 1 6.25 2.75a5.75 5.75 0 1 0 7 7z" />,
);
export const SystemIcon = icon(
  'SystemIcon',
  <>
    <rect x="2" y="2.75" width="12" height="8" rx="1" />
    <path d="M5.5 13.5h5M8 10.75v2.75" />
  </>,
);
export const ClockIcon = icon(
  'ClockIcon',
  <>
    {circle}
    <path d="M8 4.5V8l2.25 1.5" />
  </>,
);
export const LinkIcon = icon(
  'LinkIcon',
  <path d="M6.75 9.25a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.8.8M9.25 6.75a2.6 2.6 0 0 0-3.7 0l-2.3 2.3a2.6 2.6 0 0 0 3.7 3.7l.8-.8" />,
);
export const LockIcon = icon(
  'LockIcon',
  <>
    <rect x="3" y="7" width="10" height="6.5" rx="1" />
    <path d="M5.25 7V5a2.75 2.75 0 0 1 5.5 0v2" />
  </>,
);
export const ConnectedIcon = icon(
  'ConnectedIcon',
  <>
    <circle cx="8" cy="8" r="1.5" fill="currentColor" />
    <path d="M4.8 11.2a4.5 4.5 0 0 1 0-6.4M11.2 4.8a4.5 4.5 0 0 1 0 6.4" />
  </>,
);
export const DisconnectedIcon = icon(
  'DisconnectedIcon',
  <>
    <circle cx="8" cy="8" r="1.5" />
    <path d="m2.5 13.5 11-11" />
  </>,
);
export const AnthropicIcon = icon('AnthropicIcon', <path d="M8 2v12M2.8 5l10.4 6M13.2 5 2.8 11" />);
export const OpenaiIcon = icon('OpenaiIcon', <path d="M8 1.75 13.5 5v6L8 14.25 2.5 11V5z" />);
export const UnknownIcon = icon(
  'UnknownIcon',
  <>
    {circle}
    <path d="M6.25 6.4A1.8 1.8 0 1 1 8 8.4v.85M8 11.25v.01" />
  </>,
);
