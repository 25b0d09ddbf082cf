import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { MachineView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { onLive } from '../../live/live';
import { canary as words } from '../../strings/canary';
import { Panel, Resource, TimeText } from '../../ui';
import css from './machine.module.css';
import { type CountedEdge, countedEdges, type MachineState, VIOLATED, VIOLATION } from './machine_counts';
import { Drawing } from './machine_drawing';
import { canDraw, tallDrawing, wideDrawing } from './machine_layout';
import { Sentence } from './sentence';

const WIDE = 840;

/** The state machine, drawn, with how often each of its edges is taken while somebody looks. */
export function Machine() {
  const narrow = useMemo(() => matchMedia('(max-width: 700px)').matches, []);
  const known = useResource((signal) => take(api.GET('/api/v1/machine', { signal })), []);
  const [state, setState] = useState<MachineState>();
  useEffect(() => onLive('machine', setState), []);
  return (
    <Panel
      title={words.machine.title}
      hint={words.machine.hint}
      actions={
        <span class={css.since}>
          {state ? (
            <>
              {words.machine.since} <TimeText at={state.since} mode="clock" />
            </>
          ) : (
            words.machine.notCounting
          )}
        </span>
      }
    >
      <Resource of={known} what={words.machine.what} height={narrow ? 557 : 446}>
        {(machine) => <Drawn machine={machine} state={state} />}
      </Resource>
    </Panel>
  );
}

function Drawn({ machine, state }: { machine: MachineView; state: MachineState | undefined }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState<number>();
  const [chosen, setChosen] = useState<string>();
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    // Before it is painted: the two drawings are of different heights.
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const edges = useMemo(() => countedEdges(machine, state), [machine, state]);
  const isWide = width === undefined || width >= WIDE;
  const isKnown = canDraw(machine.states.map((one) => one.name));
  return (
    <div class={css.drawn} ref={box}>
      {isKnown ? (
        <Drawing
          drawing={isWide ? wideDrawing(edges) : tallDrawing(edges)}
          states={machine.states}
          edges={edges}
          here={state?.states ?? {}}
          chosen={chosen}
          onChoose={(name) => setChosen((old) => (old === name ? undefined : name))}
        />
      ) : (
        <p>{words.machine.unknownStates}</p>
      )}
      <StateDetail machine={machine} edges={edges} name={chosen} />
      <details class={css.table} open={!isKnown}>
        <summary>{words.machine.asTable}</summary>
        <EdgeTable edges={edges} />
      </details>
    </div>
  );
}

function StateDetail(props: {
  machine: MachineView;
  edges: readonly CountedEdge[];
  name: string | undefined;
}) {
  const { machine, name } = props;
  const state = machine.states.find((one) => one.name === name);
  if (!state) return <p class={css.choose}>{words.machine.choose}</p>;
  const out = props.edges.filter((edge) => edge.source === name && edge.target !== VIOLATED);
  const refused = machine.refusals.filter((one) => one.state === name);
  const all = new Set(machine.refusals.flatMap((one) => one.events)).size;
  return (
    <section class={css.detail} aria-live="polite" aria-label={state.name}>
      <h3>{state.name}</h3>
      <p>
        <Sentence text={state.meaning} />
      </p>
      {state.is_end && out.length === 0 && <p>{words.machine.end}</p>}
      <div class={css.columns}>
        {out.length > 0 && (
          <div>
            <h4>{words.machine.next}</h4>
            <ul>
              {out.map((edge) => (
                <li key={edge.id}>
                  <code>{edge.events.join(', ')}</code>{' '}
                  {edge.target === name ? words.machine.stays : words.machine.leads(edge.target)}
                </li>
              ))}
            </ul>
          </div>
        )}
        {refused.length > 0 && (
          <div>
            <h4>{words.machine.refused}</h4>
            <ul>
              {refused.map((one) => (
                <li key={one.code}>
                  <code>{one.events.length >= all ? words.machine.anything : one.events.join(', ')}</code>:{' '}
                  {words.machine.violation} <code>{one.code}</code>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </section>
  );
}

function EdgeTable({ edges }: { edges: readonly CountedEdge[] }) {
  const { columns } = words.machine;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard
    <div class={css.scroll} tabIndex={0}>
      <table>
        <caption class="visually-hidden">{words.machine.tableCaption}</caption>
        <thead>
          <tr>
            <th scope="col">{columns.from}</th>
            <th scope="col">{columns.events}</th>
            <th scope="col">{columns.to}</th>
            <th scope="col" class={css.number}>
              {columns.count}
            </th>
          </tr>
        </thead>
        <tbody>
          {edges.map((edge) => (
            <tr key={edge.id}>
              <td>{edge.source}</td>
              <td>
                {edge.events[0] === VIOLATION ? (
                  words.machine.violation
                ) : (
                  <code>{edge.events.join(', ')}</code>
                )}
              </td>
              <td>{edge.target}</td>
              <td class={css.number}>{words.machine.count(edge.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
