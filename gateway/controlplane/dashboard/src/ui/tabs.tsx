import type { ComponentChildren } from 'preact';
import { useId, useRef } from 'preact/hooks';
import { cx } from '../lib/cx';
import css from './tabs.module.css';

/** Several views of one thing, one at a time. Arrow keys, Home and End move between them. */
export function Tabs(props: {
  label: string;
  tabs: readonly { key: string; label: ComponentChildren }[];
  active: string;
  onActive: (key: string) => void;
  /** What the active tab shows. */
  children: ComponentChildren;
}) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const { tabs, active, onActive } = props;

  function move(event: KeyboardEvent): void {
    const at = tabs.findIndex((tab) => tab.key === active);
    const last = tabs.length - 1;
    const steps: Record<string, number> = {
      ArrowRight: at === last ? 0 : at + 1,
      ArrowLeft: at <= 0 ? last : at - 1,
      Home: 0,
      End: last,
    };
    const to = steps[event.key];
    const target = to === undefined ? undefined : tabs[to];
    if (to === undefined || !target) return;
    event.preventDefault();
    onActive(target.key);
    list.current?.querySelectorAll<HTMLElement>('[role=tab]')[to]?.focus();
  }

  return (
    <div class={css.tabs}>
      <div class={css.list} role="tablist" aria-label={props.label} ref={list} onKeyDown={move}>
        {tabs.map((tab) => (
          <button
            type="button"
            key={tab.key}
            role="tab"
            id={`${id}-tab-${tab.key}`}
            aria-selected={tab.key === active}
            aria-controls={`${id}-panel`}
            tabIndex={tab.key === active ? 0 : -1}
            class={cx(css.tab, tab.key === active && css.active)}
            onClick={() => onActive(tab.key)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-tab-${active}`}>
        {props.children}
      </div>
    </div>
  );
}
