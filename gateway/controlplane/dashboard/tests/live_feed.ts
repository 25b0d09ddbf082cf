/** The browser's side of the feed, which the browser of these tests does not have. */
export class Feed extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  static all: Feed[] = [];
  readyState = Feed.CONNECTING;
  /** Of the last event that was told. */
  id = '';
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(readonly url: string) {
    super();
    Feed.all.push(this);
  }

  static get latest(): Feed {
    return Feed.all.at(-1) as Feed;
  }

  /** Those that are not closed. */
  static get open(): Feed[] {
    return Feed.all.filter((feed) => feed.readyState !== Feed.CLOSED);
  }

  get topics(): string[] {
    return (new URL(this.url, 'http://gateway').searchParams.get('topics') ?? '').split(',');
  }

  get resumes(): string | null {
    return new URL(this.url, 'http://gateway').searchParams.get('last_event_id');
  }

  open(): void {
    this.readyState = Feed.OPEN;
    this.onopen?.();
  }

  tell(topic: string, data: unknown, id = ''): void {
    this.id = id;
    this.dispatchEvent(new MessageEvent(topic, { data: JSON.stringify(data), lastEventId: id }));
  }

  fail(state: number): void {
    this.readyState = state;
    this.onerror?.();
  }

  close(): void {
    this.readyState = Feed.CLOSED;
  }
}
