import { formatTime } from '../../lib/format';

/** Names of fields that hold moments, in Unix seconds. */
const MOMENT = /_(at|until)$/;

/** One field of what was changed; undefined where it was not there. */
export interface ChangedField {
  name: string;
  before?: string;
  after?: string;
}

/** The fields of an entry of the audit log that differ, by name; what is no object has one field without a name. */
export function changedFields(before: unknown, after: unknown): ChangedField[] {
  const was = asFields(before);
  const is = asFields(after);
  const names = [...new Set([...was.keys(), ...is.keys()])].sort();
  return names
    .map((name) => ({ name, before: was.get(name), after: is.get(name) }))
    .filter((field) => field.before !== field.after);
}

/** How often that happened which an entry stands for: attempts to sign in are counted. */
export function timesOf(after: unknown): number {
  const times = after !== null && typeof after === 'object' && 'times' in after ? after.times : 1;
  return typeof times === 'number' && times > 1 ? times : 1;
}

function asFields(value: unknown): Map<string, string> {
  if (value === null || value === undefined) return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) return new Map([['', shown(value)]]);
  const entries = Object.entries(value).filter(([, part]) => part !== null);
  return new Map(entries.map(([name, part]) => [name, shown(part, MOMENT.test(name))]));
}

function shown(value: unknown, isMoment = false): string {
  if (isMoment && typeof value === 'number') return formatTime(value, 'full');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
