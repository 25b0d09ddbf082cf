import type { Said, Told } from './audience';
import { sizeOf } from './audience';
import { type Connection, Feed } from './feed';

/** What a tab watches, and for whom. */
export interface Want {
  who: string;
  /** The gateway has just been asked who that is. */
  isFresh: boolean;
  topics: readonly string[];
  /** All is to be told of states once more. */
  anew: boolean;
}

/** Who is told what comes by a line. */
export interface Hearer {
  heard(topic: string, data: string): void;
  connection(state: Connection): void;
  /** The session may be over; gives back whether it goes on. */
  doubts(): Promise<boolean>;
}

/** How live events come to a tab. */
export interface Line {
  want(want: Want): void;
  /** The gateway can be reached again. */
  hurry(): void;
  /** Nobody looks any more; or, the session is over. */
  leave(isOver: boolean): void;
}

const BEAT = 5_000;
/** Beats that the shared feed may leave unanswered, the first of which may be any word. */
const MOST_UNANSWERED = 3;
/** Characters after which the shared feed is told how far this tab has come. */
const SAY_TAKEN = 500_000;

/** A feed of the tab's own, where browsers cannot share one. */
export class OwnLine implements Line {
  private readonly feed: Feed;

  /** Goes on behind the event `last`, if there is one. */
  constructor(hearer: Hearer, last = '') {
    this.feed = new Feed({
      heard: (topic, data) => hearer.heard(topic, data),
      connection: (state) => hearer.connection(state),
      doubts: () => void hearer.doubts(),
    });
    this.feed.last = last;
  }

  want({ topics, anew }: Want): void {
    this.feed.watch(topics, anew);
  }

  hurry(): void {
    this.feed.hurry();
  }

  leave(isOver: boolean): void {
    if (isOver) this.feed.forget();
    else this.feed.close();
  }
}

/**
 * The feed that all tabs of a browser share. A tab says again and again what it wants, so that one that has crashed
 * is known by its silence, and so is a feed that is gone.
 */
export class SharedLine implements Line {
  private wanted: Want | undefined;
  private last = '';
  private taken = 0;
  private takenSaid = 0;
  private unanswered = 0;
  private isGone = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  /** There was ever an answer. */
  private hasSpoken = false;

  /**
   * `onFailure` is called when there is nothing to expect of it any more, with the id of the last event, and whether
   * another one may do: the browser ends what is shared with a tab that crashes.
   */
  constructor(
    private readonly worker: SharedWorker,
    private readonly hearer: Hearer,
    private readonly onFailure: (last: string, tryAgain: boolean) => void,
    last = '',
  ) {
    this.last = last;
    worker.onerror = () => this.fail(false);
    worker.port.onmessage = ({ data }: MessageEvent<Told>) => this.told(data);
  }

  want(want: Want): void {
    if (!this.wanted) {
      this.unanswered = 0;
      this.hearer.connection('connecting');
      this.timer = setInterval(() => this.beat(), BEAT);
    }
    this.wanted = want;
    // However much a page that is being made wants at once: what is shared may take a while to begin.
    this.unanswered ||= 1;
    this.sayWant(want);
  }

  hurry(): void {
    this.say({ kind: 'hurry' });
  }

  leave(isOver: boolean): void {
    clearInterval(this.timer);
    if (isOver) {
      this.last = '';
      this.hearer.connection('connecting');
    }
    if (!this.wanted) return;
    this.wanted = undefined;
    this.say({ kind: 'leave', isOver });
  }

  private told(told: Told): void {
    this.unanswered = 0;
    this.hasSpoken = true;
    if (told.kind === 'event') this.take(told);
    else if (!this.wanted) return;
    else if (told.kind === 'state') this.hearer.connection(told.state);
    else {
      void this.hearer.doubts().then((goesOn) => {
        if (goesOn && told.isStranger) this.fail(false);
      });
    }
  }

  private take(event: Told & { kind: 'event' }): void {
    this.taken += sizeOf(event);
    if (this.taken - this.takenSaid > SAY_TAKEN) {
      this.takenSaid = this.taken;
      this.say({ kind: 'took', taken: this.taken });
    }
    // What was under way when the tab left is told again on its return.
    if (!this.wanted) return;
    if (event.id) this.last = event.id;
    this.hearer.heard(event.topic, event.data);
  }

  private beat(): void {
    if (!this.wanted) return;
    if (this.unanswered >= MOST_UNANSWERED) {
      this.fail(this.hasSpoken);
      return;
    }
    if (this.unanswered > 1) this.hearer.connection('lost');
    this.unanswered += 1;
    this.sayWant({ ...this.wanted, isFresh: false, anew: false });
  }

  private sayWant(want: Want): void {
    this.takenSaid = this.taken;
    this.say({ kind: 'want', ...want, last: this.last, taken: this.taken });
  }

  private fail(tryAgain: boolean): void {
    if (this.isGone) return;
    this.isGone = true;
    clearInterval(this.timer);
    this.worker.port.onmessage = null;
    this.say({ kind: 'leave', isOver: false });
    this.worker.port.close();
    this.hearer.connection('connecting');
    this.onFailure(this.last, tryAgain);
  }

  private say(said: Said): void {
    this.worker.port.postMessage(said);
  }
}
