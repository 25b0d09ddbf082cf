import type { ComponentChildren } from 'preact';
import { cx } from '../../lib/cx';
import { formatCount } from '../../lib/format';
import { accounts as words } from '../../strings/accounts';
import { ui } from '../../strings/ui';
import { Button, SelectField, TextField } from '../../ui';
import css from './accounts.module.css';
import { type Counts, SORTS, STATES, type Wanted } from './filter';
import { LOOKS } from './state_badge';

type Query = Wanted & { view?: string };

/** What is shown of the accounts, and in which order; all of it lives in the address. */
export function Filters(props: {
  query: Query;
  counts: Counts;
  providers: readonly string[];
  view: string;
  onQuery: (changes: Partial<Query>, how?: { replace?: boolean }) => void;
  more: ComponentChildren;
}) {
  const { query, counts, providers, view, onQuery } = props;
  return (
    <search class={css.filters}>
      <div class={css.fields}>
        <TextField
          label={words.search}
          labelHidden
          type="search"
          value={query.q ?? ''}
          placeholder={words.searchPlaceholder}
          onValue={(q) => onQuery({ q }, { replace: true })}
          autocomplete="off"
        />
        {(providers.length > 1 || query.provider) && (
          <SelectField
            label={words.provider}
            labelHidden
            value={query.provider ?? ''}
            onValue={(provider) => onQuery({ provider })}
            options={[
              { value: '', label: words.anyProvider },
              ...providers.map((name) => ({
                value: name,
                label: ui.provider[name as keyof typeof ui.provider] ?? name,
              })),
            ]}
          />
        )}
        {view === 'cards' && (
          <SelectField
            label={words.sort.label}
            labelHidden
            value={query.sort ?? 'name'}
            onValue={(sort) => onQuery({ sort: sort === 'name' ? undefined : sort })}
            options={SORTS.map((sort) => ({
              value: sort,
              label: `${words.sort.label}: ${words.sort[sort]}`,
            }))}
          />
        )}
        <fieldset class={css.view} aria-label={words.view.label}>
          {(['cards', 'table'] as const).map((one) => (
            <Button
              key={one}
              kind="quiet"
              aria-pressed={view === one}
              class={cx(view === one && css.on)}
              onClick={() => onQuery({ view: one })}
            >
              {words.view[one]}
            </Button>
          ))}
        </fieldset>
        {props.more}
      </div>
      <StateChips query={query} counts={counts} onQuery={onQuery} />
    </search>
  );
}

function StateChips(props: { query: Query; counts: Counts; onQuery: (changes: Partial<Query>) => void }) {
  const { query, counts, onQuery } = props;
  const states = STATES.filter((state) => counts[state] > 0 || query.state === state).reverse();
  return (
    <fieldset class={css.chips} aria-label={words.chips.label}>
      <Chip
        label={words.chips.all}
        count={counts.all}
        on={!query.state}
        onSelect={() => onQuery({ state: undefined })}
      />
      {(counts.attention > 0 || query.state === 'attention') && (
        <Chip
          label={words.chips.attention}
          count={counts.attention}
          on={query.state === 'attention'}
          tone="danger"
          onSelect={() => onQuery({ state: query.state === 'attention' ? undefined : 'attention' })}
        />
      )}
      {states.map((state) => {
        const { icon: Shown, tone } = LOOKS[state];
        return (
          <Chip
            key={state}
            label={words.statesShort[state]}
            count={counts[state]}
            on={query.state === state}
            tone={tone}
            icon={<Shown size={13} />}
            onSelect={() => onQuery({ state: query.state === state ? undefined : state })}
          />
        );
      })}
    </fieldset>
  );
}

function Chip(props: {
  label: string;
  count: number;
  on: boolean;
  tone?: string;
  icon?: ComponentChildren;
  onSelect: () => void;
}) {
  return (
    <button
      type="button"
      class={cx(css.chip, props.tone && css[props.tone])}
      aria-pressed={props.on}
      onClick={props.onSelect}
    >
      {props.icon}
      <span>{props.label}</span>
      <span class={css.chipCount}>{formatCount(props.count)}</span>
    </button>
  );
}
