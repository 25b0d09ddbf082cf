import { STATES, UNASKED } from './feed';

/** An event as it came: JSON, with the id to come back with. */
export interface LiveEvent {
  topic: string;
  data: string;
  id: string;
}

const MOST_EVENTS = 1_000;
const MOST_CHARACTERS = 1_000_000;

/** The last events that a feed told, for whoever was away for a moment. */
export class Kept {
  private events: (LiveEvent & { number: number })[] = [];
  private characters = 0;
  /** By topic, behind which number all of its events are here. */
  private behind = new Map<string, number>();
  private followed: readonly string[] = [];
  /** Of the gateway's process whose numbers these are. */
  private boot = '';
  private last = '';

  /** A connection tells topics from now on, and goes on behind the event `last`. */
  follow(topics: readonly string[], last: string): void {
    this.followed = topics.filter((topic) => !STATES.has(topic));
    for (const topic of this.behind.keys()) {
      if (!this.followed.includes(topic)) this.behind.delete(topic);
    }
    if (last) this.begin(last);
  }

  /** Takes note of an event. */
  add(event: LiveEvent): void {
    const found = parsed(event.id);
    if (event.topic === 'reset') this.clear();
    if (!found) return;
    this.begin(event.id);
    this.last = event.id;
    if (STATES.has(event.topic) || UNASKED.has(event.topic)) return;
    this.events.push({ ...event, number: found.number });
    this.characters += event.data.length;
    while (this.events.length > MOST_EVENTS || this.characters > MOST_CHARACTERS) {
      const { topic, data, number } = this.events.shift() as LiveEvent & { number: number };
      this.characters -= data.length;
      if (this.behind.has(topic)) this.behind.set(topic, number);
    }
  }

  /** What came of some topics behind an event; undefined where not all of it is known. */
  since(last: string, topics: readonly string[]): LiveEvent[] | undefined {
    if (last === this.last) return [];
    const found = parsed(last);
    if (!found || found.boot !== this.boot) return undefined;
    for (const topic of topics) {
      if (STATES.has(topic)) continue;
      const from = this.behind.get(topic);
      if (from === undefined || from > found.number) return undefined;
    }
    return this.events.filter((event) => event.number > found.number && topics.includes(event.topic));
  }

  /** Knows nothing any more. */
  clear(): void {
    this.events = [];
    this.characters = 0;
    this.behind.clear();
    this.boot = '';
    this.last = '';
  }

  /** From an event on, all that is followed is here, if it was not before. */
  private begin(id: string): void {
    const found = parsed(id);
    if (!found) return;
    if (found.boot !== this.boot) this.clear();
    this.boot = found.boot;
    this.last ||= id;
    for (const topic of this.followed) {
      if (!this.behind.has(topic)) this.behind.set(topic, found.number);
    }
  }
}

function parsed(id: string): { boot: string; number: number } | undefined {
  const [boot, digits] = id.split('-');
  const number = Number(digits);
  return boot && digits && Number.isSafeInteger(number) ? { boot, number } : undefined;
}
