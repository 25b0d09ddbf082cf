import { access as words } from '../../strings/access';

/** The fewest characters that the gateway takes. */
export const SHORTEST = 10;
const LONG = 16;

/** What to say of a new password while it is typed: of its length alone, which is what counts most. */
export function strengthOf(password: string): string {
  const length = [...password].length;
  if (length === 0) return words.strength.rule;
  if (length < SHORTEST) return words.strength.missing(SHORTEST - length);
  return length < LONG ? words.strength.enough : words.strength.long;
}
