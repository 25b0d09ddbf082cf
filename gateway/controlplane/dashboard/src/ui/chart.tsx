import type { FunctionComponent } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { formatDay, formatTime, formatUnit, type Unit } from '../lib/format';
import { ui } from '../strings/ui';
import { Button } from './button';
import css from './chart.module.css';
import { NowIcon, TableIcon } from './icons';
import { Empty, ErrorNote, Loading } from './state';

/** One curve or colour of a chart. */
export interface Series {
  label: string;
  /** One for each x; null where nothing is known. */
  values: readonly (number | null)[];
  /** 1 to 8, a colour of the palette; without it, its place in the list. */
  color?: number;
}

export interface ChartProps {
  series: readonly Series[];
  /** Unix seconds, rising; or names, for bars of things that are not times. */
  x: readonly number[] | readonly string[];
  unit: Unit;
  /** Names the chart for screen readers. */
  label: string;
  kind: 'line' | 'bars' | 'stacked';
  /** Pixels. */
  height?: number;
}

type Canvas = FunctionComponent<ChartProps & { height: number }>;

let loaded: Canvas | undefined;

/** The colour of the series at a place: a token. */
export function seriesColor(series: Series, place: number): string {
  return `var(--series-${(((series.color ?? place + 1) - 1) % 8) + 1})`;
}

/** How the places of an axis are written: names as they are, whole days without the time. */
export function placeText(x: ChartProps['x']): (at: number | string) => string {
  const daily = x.every((at) => typeof at === 'number' && new Date(at * 1000).getHours() === 0);
  return (at) => (typeof at === 'string' ? at : daily ? formatDay(at) : formatTime(at, 'date'));
}

/** A chart, with the same values as a table for those who cannot or would not see it. */
export function Chart(props: ChartProps) {
  const { series, x, unit, label, height = 220 } = props;
  const [asTable, setAsTable] = useState(false);
  const [Drawn, setDrawn] = useState<Canvas | undefined>(() => loaded);
  const [failed, setFailed] = useState(false);

  useEffect(() => {
    if (loaded) {
      // Since this was rendered, for another chart of the page.
      setDrawn(() => loaded);
      return;
    }
    let gone = false;
    import('./chart_canvas').then(
      (module) => {
        loaded = module.ChartCanvas;
        if (!gone) setDrawn(() => loaded);
      },
      () => !gone && setFailed(true),
    );
    return () => {
      gone = true;
    };
  }, []);

  if (x.length === 0 || series.length === 0) return <Empty title={ui.chart.none} />;
  return (
    <figure class={css.chart} aria-label={label}>
      <div class={css.top}>
        <ul class={css.legend}>
          {series.map((one, place) => (
            <li key={one.label}>
              <span class={css.swatch} style={{ background: seriesColor(one, place) }} aria-hidden="true" />
              {one.label}
            </li>
          ))}
        </ul>
        <Button kind="quiet" icon={asTable ? NowIcon : TableIcon} onClick={() => setAsTable(!asTable)}>
          {asTable ? ui.chart.asChart : ui.chart.asTable}
        </Button>
      </div>
      <div style={{ minHeight: `${height}px` }}>
        {asTable ? (
          <ValueTable {...props} height={height} unit={unit} />
        ) : Drawn ? (
          <Drawn {...props} height={height} />
        ) : failed ? (
          <ErrorNote error={new Error(ui.chart.failed)} />
        ) : (
          <Loading what={ui.chart.loading} height={height} />
        )}
      </div>
    </figure>
  );
}

function ValueTable({ series, x, unit, label, height }: ChartProps & { height: number }) {
  const written = placeText(x);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard
    <section class={css.tableBox} style={{ maxHeight: `${height}px` }} tabIndex={0} aria-label={label}>
      <table class={css.table}>
        <caption class="visually-hidden">{label}</caption>
        <thead>
          <tr>
            <th scope="col">{typeof x[0] === 'number' ? ui.chart.when : ui.chart.what}</th>
            {series.map((one) => (
              <th scope="col" key={one.label}>
                {one.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {x.map((at, i) => (
            <tr key={at}>
              <th scope="row">{written(at)}</th>
              {series.map((one) => (
                <td key={one.label}>{formatUnit(one.values[i], unit)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
