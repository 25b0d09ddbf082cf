import { useRef } from 'preact/hooks';
import type { StreamView } from '../../api/schema';
import { now as words } from '../../strings/now';
import { gradient, quietShare, type Scale, stretches, windowOf } from './lane_geometry';
import css from './now.module.css';
import { colourOf } from './phases';
import { boardNow, useTick } from './use_board';

const SAID = 4;

/** The way of one request through the states, drawn; goes on by itself between two news of it. */
export function Lane({ row, scale, tall }: { row: StreamView; scale: Scale; tall?: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const drawn = useRef('');
  useTick(
    (now) => {
      const shown = element.current;
      if (!shown) return;
      const age = Math.max(0, now - row.began_at);
      const [from, to] = windowOf(scale, age);
      const picture = gradient(stretches(row.lane, from, to, age), colourOf);
      if (drawn.current !== picture) {
        // Through the style object, which the content security policy allows.
        shown.style.backgroundImage = picture;
        drawn.current = picture;
      }
      const quiet = quietShare(row.heard_at === null ? undefined : now - row.heard_at, from, to);
      (shown.firstElementChild as HTMLElement).style.width = `${(quiet * 100).toFixed(2)}%`;
    },
    [row, scale],
  );
  return (
    <div ref={element} class={css.lane} data-tall={tall ? '' : undefined} role="img" aria-label={spoken(row)}>
      <span class={css.quiet} />
    </div>
  );
}

/** The last parts of the way in words; how long the last one goes on is in other columns. */
function spoken(row: StreamView): string {
  const parts = row.lane.map(
    ([phase, began, ended]) => [phase, (ended ?? boardNow() - row.began_at) - began] as const,
  );
  const earlier = parts.length - SAID;
  const said = words.laneText(parts.slice(-SAID));
  return earlier > 0 ? `${words.laneEarlier(earlier)} ${said}` : said;
}
