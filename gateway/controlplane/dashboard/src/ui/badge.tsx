import type { ComponentChildren } from 'preact';
import { cx } from '../lib/cx';
import { ui } from '../strings/ui';
import css from './badge.module.css';
import {
  AccentIcon,
  AnthropicIcon,
  DangerIcon,
  type Icon,
  IdleIcon,
  NoticeIcon,
  OkIcon,
  OpenaiIcon,
  UnknownIcon,
  WarningIcon,
} from './icons';

/** What a colour means. Text or an icon always says the same. */
export type Tone = 'ok' | 'notice' | 'warning' | 'danger' | 'idle' | 'accent';

/** The icon that stands for a tone. */
export const TONE_ICONS: Record<Tone, Icon> = {
  ok: OkIcon,
  notice: NoticeIcon,
  warning: WarningIcon,
  danger: DangerIcon,
  idle: IdleIcon,
  accent: AccentIcon,
};

/** A short state: icon, colour and text. `icon={null}` leaves the icon out where the text says enough. */
export function Badge(props: {
  tone: Tone;
  icon?: Icon | null;
  title?: string;
  children: ComponentChildren;
}) {
  const Shown = props.icon === undefined ? TONE_ICONS[props.tone] : props.icon;
  return (
    <span class={cx(css.badge, css[props.tone])} title={props.title}>
      {Shown && <Shown size={13} />}
      <span class={css.text}>{props.children}</span>
    </span>
  );
}

/** Whose API an account, a request or a price belongs to. */
export function ProviderBadge({ provider }: { provider: string | null | undefined }) {
  const name = provider === 'anthropic' || provider === 'openai' ? provider : 'unknown';
  const Shown = { anthropic: AnthropicIcon, openai: OpenaiIcon, unknown: UnknownIcon }[name];
  return (
    <span class={cx(css.badge, css[name])} title={name === 'unknown' && provider ? provider : undefined}>
      <Shown size={13} />
      <span class={css.text}>{ui.provider[name]}</span>
    </span>
  );
}
