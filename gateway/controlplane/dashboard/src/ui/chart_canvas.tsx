import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot, { type AlignedData, type Options } from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatUnit } from '../lib/format';
import { themeVersion } from '../lib/theme';
import { type ChartProps, placeText, seriesColor } from './chart';
import css from './chart.module.css';
import { linesOf, lineText } from './chart_scale';

/** Sums of the series from the first on, so that each is drawn on top of those before it. */
export function stack(series: readonly (readonly (number | null)[])[]): number[][] {
  const sums: number[][] = [];
  for (const values of series) {
    const below = sums.at(-1);
    sums.push(values.map((value, i) => (below?.[i] ?? 0) + (value ?? 0)));
  }
  return sums;
}

const DAY = 86_400;
const NAME_WIDTH = 96;
const NAME_LENGTH = 18;

/** Names for the axis: those there is room for, shortened; the tip and the table have all of them. */
export function namesThatFit(names: readonly string[], width: number): string[] {
  const each = Math.max(1, Math.ceil((names.length * NAME_WIDTH) / Math.max(width, 1)));
  return names.map((name, i) => {
    if (i % each) return '';
    return name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}…` : name;
  });
}

interface Hover {
  index: number;
  left: number;
}

/** The drawing itself; loaded with uPlot when the first chart is shown. */
export function ChartCanvas(props: ChartProps & { height: number }) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [hover, setHover] = useState<Hover>();
  const version = themeVersion.value;
  const { series, x, unit, kind, height } = props;
  const shape = JSON.stringify([
    kind,
    unit,
    height,
    series.map((one) => [one.label, one.color]),
    // Names are part of the axis; times are data.
    typeof x[0] === 'string' ? x : typeof x[0],
  ]);

  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const made = new uPlot(optionsOf(props, element, setHover), dataOf(props), element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, version]);

  useEffect(() => {
    plot.current?.setData(dataOf(props));
  }, [series, x]);

  const at = hover && x[hover.index];
  return (
    <div class={css.canvas} ref={holder} style={{ height: `${height}px` }}>
      {hover && at !== undefined && (
        <div class={css.tip} style={tipPlace(hover.left, holder.current?.clientWidth ?? 0)}>
          <strong>{placeText(x)(at)}</strong>
          <ul>
            {series.map((one, place) => (
              <li key={one.label}>
                <span class={css.swatch} style={{ background: seriesColor(one, place) }} />
                <span>{one.label}</span>
                <span>{formatUnit(one.values[hover.index], unit)}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}

function tipPlace(left: number, width: number): { transform: string } {
  return {
    transform: left > width / 2 ? `translateX(calc(${left - 12}px - 100%))` : `translateX(${left + 12}px)`,
  };
}

/** Bars of several series side by side would hide each other. */
function isStacked(kind: ChartProps['kind'], count: number): boolean {
  return kind === 'stacked' || (kind === 'bars' && count > 1);
}

function dataOf({ series, x, kind }: ChartProps): AlignedData {
  const xs = x.map((at, i) => (typeof at === 'number' ? at : i));
  const values = series.map((one) => one.values);
  // The tallest stack is drawn first, those below it over it.
  const ys = isStacked(kind, series.length) ? stack(values).reverse() : values;
  return [xs, ...ys] as AlignedData;
}

function optionsOf(
  props: ChartProps & { height: number },
  element: HTMLElement,
  onHover: (hover: Hover | undefined) => void,
): Options {
  const { series, x, unit, kind } = props;
  const colour = resolver(element);
  const order = series.map((one, place) => ({ one, place }));
  if (isStacked(kind, series.length)) order.reverse();
  const named = typeof x[0] === 'string';
  const bars = kind !== 'line' || named;
  const paths = bars ? uPlot.paths.bars?.({ size: [0.7, 48] }) : undefined;
  const text = colour('var(--text-quiet)');
  const grid = { stroke: colour('var(--line)'), width: 1 };
  const font = `11px ${getComputedStyle(element).fontFamily}`;
  return {
    width: Math.max(1, element.clientWidth),
    height: props.height,
    legend: { show: false },
    padding: [10, 10, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { show: !bars }, y: false },
    scales: {
      x: {
        time: !named,
        range: (_, least, most) => {
          if (!bars) return [least, most];
          const step = named ? 1 : x.length > 1 ? (most - least) / (x.length - 1) || 1 : DAY;
          return [least - step / 2, most + step / 2];
        },
      },
      y: { range: (_, __, most) => [0, linesOf(most, unit).at(-1) ?? 1] },
    },
    axes: [
      {
        stroke: text,
        font,
        grid: { show: false },
        ticks: { ...grid, size: 4 },
        ...(named
          ? {
              size: 30,
              splits: () => x.map((_, i) => i),
              values: (self) => namesThatFit(x as readonly string[], self.width),
            }
          : {
              values: [
                [86400, '{D} {MMM}', null, null, null, null, null, null, 1],
                [3600, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
                [60, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
                [1, '{HH}:{mm}:{ss}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
              ] as uPlot.Axis.Values,
            }),
      },
      {
        stroke: text,
        font,
        grid,
        ticks: { show: false },
        size: 64,
        splits: (_, __, ___, top) => linesOf(top, unit),
        values: (_, splits) => splits.map((value) => lineText(value, splits[1] ?? 1, unit)),
      },
    ],
    series: [
      {},
      ...order.map(({ one, place }) => {
        const stroke = colour(seriesColor(one, place));
        return {
          label: one.label,
          stroke,
          width: bars ? 0 : 1.75,
          fill: bars ? stroke : undefined,
          paths,
          points: { show: false },
        };
      }),
    ],
    hooks: {
      setCursor: [
        (self) => {
          const { idx, left } = self.cursor;
          const shown = idx !== null && idx !== undefined && left !== undefined && left >= 0;
          onHover(shown ? { index: idx, left: left + self.bbox.left / devicePixelRatio } : undefined);
        },
      ],
    },
  };
}

/** Turns tokens into the colours that are in force, which is what a canvas needs. */
function resolver(element: HTMLElement): (value: string) => string {
  const probe = document.createElement('span');
  probe.hidden = true;
  element.append(probe);
  queueMicrotask(() => probe.remove());
  return (value) => {
    probe.style.color = value;
    return getComputedStyle(probe).color;
  };
}
