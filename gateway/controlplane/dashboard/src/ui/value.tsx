import { useComputed, useSignal } from '@preact/signals';
import { now } from '../lib/clock';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatCountdown,
  formatDuration,
  formatPercent,
  formatTime,
  formatUsd,
  type Maybe,
  relativeTime,
  UNKNOWN,
} from '../lib/format';
import { ui } from '../strings/ui';

const EXACT = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 9 });

/** A dash for the eye, a word for the ear. */
function Unknown() {
  return (
    <>
      <span aria-hidden="true">{UNKNOWN}</span>
      <span class="visually-hidden">{ui.unknown}</span>
    </>
  );
}

function isUnknown(value: Maybe): value is null | undefined {
  return value === null || value === undefined || !Number.isFinite(value);
}

/** A moment, in Unix seconds. The exact one, with UTC, is its tip and is read to those who do not see it. */
export function TimeText({ at, mode = 'relative' }: { at: Maybe; mode?: 'relative' | 'clock' | 'date' }) {
  if (isUnknown(at)) return <Unknown />;
  const exact = formatTime(at, 'full');
  return (
    <time dateTime={isoOf(at)} title={exact}>
      {mode === 'relative' ? <Relative at={at} /> : formatTime(at, mode)}
      <span class="visually-hidden">, {exact}</span>
    </time>
  );
}

function isoOf(at: number): string | undefined {
  return Math.abs(at) > 8.64e12 ? undefined : new Date(at * 1000).toISOString();
}

function Relative({ at }: { at: number }) {
  const moment = useLatest(at);
  const text = useComputed(() => relativeTime(moment.value, now.value));
  return <span>{text}</span>;
}

/** What is left until a moment, in Unix seconds; counts down each second. */
export function Countdown({ until }: { until: Maybe }) {
  if (isUnknown(until)) return <Unknown />;
  return <CountingDown until={until} />;
}

function CountingDown({ until }: { until: number }) {
  const moment = useLatest(until);
  const text = useComputed(() => formatCountdown(moment.value, now.value));
  return (
    <time dateTime={isoOf(until)} title={formatTime(until, 'full')} role="timer">
      {text}
    </time>
  );
}

/** A prop as a signal, so that only the text that is computed from it changes. */
function useLatest(value: number) {
  const latest = useSignal(value);
  if (latest.peek() !== value) latest.value = value;
  return latest;
}

/** A length of time, in milliseconds. */
export function Duration({ ms }: { ms: Maybe }) {
  if (isUnknown(ms)) return <Unknown />;
  return <span title={`${formatCount(ms)} ms`}>{formatDuration(ms)}</span>;
}

/** Dollars. The tip has all digits. */
export function Usd({ value }: { value: Maybe }) {
  if (isUnknown(value)) return <Unknown />;
  return <span title={`$${EXACT.format(value)}`}>{formatUsd(value)}</span>;
}

/** A whole number; `compact` writes large ones as 12.3K, with the exact one as its tip. */
export function Count({ value, compact }: { value: Maybe; compact?: boolean }) {
  if (isUnknown(value)) return <Unknown />;
  return (
    <span title={compact ? formatCount(value) : undefined}>
      {compact ? formatCompact(value) : formatCount(value)}
    </span>
  );
}

/** A size. The tip has all bytes. */
export function Bytes({ value }: { value: Maybe }) {
  if (isUnknown(value)) return <Unknown />;
  return <span title={`${formatCount(value)} B`}>{formatBytes(value)}</span>;
}

/** A share; 1 is all. */
export function Percent({ value }: { value: Maybe }) {
  if (isUnknown(value)) return <Unknown />;
  return <span>{formatPercent(value)}</span>;
}
