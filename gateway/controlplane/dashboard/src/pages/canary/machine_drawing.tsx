import { useRef } from 'preact/hooks';
import type { StateView } from '../../api/schema';
import { canary as words } from '../../strings/canary';
import css from './machine.module.css';
import { type CountedEdge, VIOLATION } from './machine_counts';
import type { Box, Drawing as Layout, Line } from './machine_layout';

/** The machine as a drawing. States take the focus; an edge lights up when its count changes. */
export function Drawing(props: {
  drawing: Layout;
  states: readonly StateView[];
  edges: readonly CountedEdge[];
  /** Streams that are in a state now. */
  here: Record<string, number>;
  chosen: string | undefined;
  onChoose: (name: string) => void;
}) {
  const { drawing } = props;
  const edges = new Map(props.edges.map((edge) => [edge.id, edge]));
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is no drawing
    <svg
      class={css.drawing}
      viewBox={`0 0 ${drawing.width} ${drawing.height}`}
      style={{ maxWidth: `${Math.max(drawing.width, 400) * 1.15}px` }}
      role="group"
      aria-label={words.machine.label}
    >
      <defs>
        {(['forward', 'error', 'violation'] as const).map((kind) => (
          <marker
            key={kind}
            id={`machine-${kind}`}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            orient="auto-start-reverse"
          >
            <path d="M0 0.5 8 4 0 7.5z" class={css[`${kind}Head`]} />
          </marker>
        ))}
      </defs>
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing here takes the focus, and the table has it all */}
      <g aria-hidden="true">
        {drawing.lines.map((line) => {
          const edge = edges.get(line.id);
          return edge && <Edge key={line.id} line={line} edge={edge} />;
        })}
      </g>
      {drawing.boxes.map((box) => {
        const state = props.states.find((one) => one.name === box.name);
        return (
          state && (
            <Node
              key={box.name}
              box={box}
              state={state}
              here={props.here[box.name] ?? 0}
              isChosen={props.chosen === box.name}
              onChoose={props.onChoose}
            />
          )
        );
      })}
    </svg>
  );
}

function Edge({ line, edge }: { line: Line; edge: CountedEdge }) {
  // What was there at first is nothing that has just happened.
  const first = useRef(edge.count);
  const head = line.kind === 'loop' ? 'forward' : line.kind;
  const { label } = line;
  const name = label.isNamed ? edge.events.join(', ') : '';
  return (
    <g class={css[line.kind]}>
      <path d={line.path} class={css.line} marker-end={`url(#machine-${head})`} />
      {edge.count !== first.current && <path key={edge.count} d={line.path} class={css.pulse} />}
      <text x={label.x} y={label.y} text-anchor={label.anchor} class={css.label}>
        {name && name !== VIOLATION && <tspan class={css.event}>{name}</tspan>}
        <tspan x={label.x} dy={name ? 12 : 0} class={css.count}>
          {edge.count > 0 ? words.machine.count(edge.count) : ''}
        </tspan>
      </text>
    </g>
  );
}

function Node(props: {
  box: Box;
  state: StateView;
  here: number;
  isChosen: boolean;
  onChoose: (name: string) => void;
}) {
  const { box, state, here } = props;
  const isTall = box.height > box.width;
  const x = box.x + box.width / 2;
  const y = box.y + box.height / 2;
  const choose = () => props.onChoose(box.name);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a drawing has no buttons of its own
    <g
      class={css.node}
      data-state={box.name}
      data-here={here > 0 ? '' : undefined}
      role="button"
      tabindex={0}
      aria-pressed={props.isChosen}
      aria-description={state.meaning.replaceAll('`', '')}
      onClick={choose}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        choose();
      }}
    >
      <rect x={box.x} y={box.y} width={box.width} height={box.height} rx="8" class={css.box} />
      {isTall ? (
        <text x={x} y={y} text-anchor="middle" class={css.name} transform={`rotate(90 ${x} ${y})`} dy="4">
          {`${box.name} `}
          <tspan class={css.here}>{`  ${words.machine.here(here)}`}</tspan>
        </text>
      ) : (
        <text x={x} text-anchor="middle" class={css.name}>
          <tspan x={x} y={y - 3}>
            {`${box.name} `}
          </tspan>
          <tspan x={x} y={y + 13} class={css.here}>
            {words.machine.here(here)}
          </tspan>
        </text>
      )}
    </g>
  );
}
