export { Badge, ProviderBadge, TONE_ICONS, type Tone } from './badge';
export { Button, type ButtonKind, IconButton, Link } from './button';
export { Chart, type ChartProps, type Series } from './chart';
export { Choice } from './choice';
export { CodeBlock, CopyButton, copyText } from './copy';
export { type Column, ColumnMenu, DataTable, type Sort, sorted, useShownColumns } from './data_table';
export { ConfirmDialog, Dialog } from './dialog';
export { DropZone } from './drop_zone';
export { KeyValue, Stat } from './facts';
export {
  CheckField,
  Field,
  type FieldIds,
  NumberField,
  SelectField,
  TextAreaField,
  TextField,
} from './field';
export { FormDialog } from './form_dialog';
export * from './icons';
export { Menu, type MenuItem } from './menu';
export { Bar, ProgressBar, Spark } from './meter';
export { PageActions, usePageTitle } from './page';
export { Panel } from './panel';
export { Empty, ErrorNote, Loading, Resource } from './state';
export { Tabs } from './tabs';
export { Toasts, toast } from './toast';
export { Bytes, Count, Countdown, Duration, Percent, TimeText, Usd } from './value';
