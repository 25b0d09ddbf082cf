import { useState } from 'preact/hooks';
import type { Facets } from '../../api/schema';
import { formatTime } from '../../lib/format';
import { requests as words } from '../../strings/requests';
import { Button, CloseIcon, FilterIcon, Menu, SelectField } from '../../ui';
import { FilterDialog } from './filter_dialog';
import { type Chip, chipsOf, type Filter, NO_FILTER, OUTCOMES, outcomesOf, RANGES } from './filters';
import css from './requests.module.css';

interface FilterBarProps {
  filter: Filter;
  onFilter: (changes: Partial<Filter>) => void;
  /** Names to choose from; undefined while they are not known. */
  facets: Facets | undefined;
  facetsFailed: boolean;
}

const labels = words.filters;
const CUSTOM = 'custom';

/** Picks requests: what is asked for most stands open, the rest is behind a button. */
export function FilterBar(props: FilterBarProps) {
  const { filter, onFilter, facets } = props;
  const [open, setOpen] = useState(false);
  const isCustom = !filter.range && Boolean(filter.since || filter.until);
  const chips = chipsOf(filter);
  return (
    <section class={css.filters} aria-label={labels.label}>
      <div class={css.filterRow}>
        <SelectField
          label={labels.names('range')}
          labelHidden
          value={isCustom ? CUSTOM : (filter.range ?? '')}
          onValue={(value) => {
            if (value === CUSTOM) setOpen(true);
            else onFilter({ range: value || undefined, since: undefined, until: undefined });
          }}
          options={[
            { value: '', label: labels.anyTime },
            ...Object.keys(RANGES).map((range) => ({ value: range, label: labels.range(range) })),
            { value: CUSTOM, label: labels.custom },
          ]}
        />
        <OutcomeMenu filter={filter} onFilter={onFilter} />
        <Choice name="model" known={facets?.models} {...props} />
        <Choice name="account" known={facets?.accounts} {...props} />
        <Choice name="actor" known={facets?.actors.map((actor) => actor.name)} {...props} />
        <Button icon={FilterIcon} onClick={() => setOpen(true)}>
          {labels.more}
        </Button>
      </div>
      {chips.length > 0 && (
        <ul class={css.chips}>
          {chips.map((chip) => (
            <li key={`${chip.name}=${chip.value}`}>
              <ChipButton chip={chip} facets={facets} onRemove={() => onFilter(chip.without)} />
            </li>
          ))}
          {chips.length > 1 && (
            <li>
              <Button kind="quiet" onClick={() => onFilter(NO_FILTER)}>
                {labels.clear}
              </Button>
            </li>
          )}
        </ul>
      )}
      <FilterDialog {...props} open={open} onClose={() => setOpen(false)} />
    </section>
  );
}

function Choice(
  props: FilterBarProps & { name: 'model' | 'account' | 'actor'; known: string[] | undefined },
) {
  const value = props.filter[props.name] ?? '';
  const named = new Set(props.known ?? []);
  if (value) named.add(value);
  const label = labels.names(props.name);
  return (
    <SelectField
      label={label}
      labelHidden
      value={value}
      onValue={(next) => props.onFilter({ [props.name]: next || undefined })}
      options={[
        { value: '', label: `${label}: ${labels.any.toLowerCase()}` },
        ...[...named].map((name) => ({ value: name, label: shownValue(props.name, name, props.facets) })),
      ]}
    />
  );
}

function OutcomeMenu({ filter, onFilter }: Pick<FilterBarProps, 'filter' | 'onFilter'>) {
  const chosen = outcomesOf(filter);
  const wrong = filter.wrong === '1';
  const number = chosen.length + Number(wrong);
  return (
    <Menu
      label={number > 0 ? `${labels.names('outcome')} (${number})` : labels.names('outcome')}
      choice="many"
      items={[
        {
          label: labels.wrong,
          hint: labels.wrongHint,
          checked: wrong,
          onSelect: () => onFilter({ wrong: wrong ? undefined : '1' }),
        },
        ...OUTCOMES.map((outcome) => ({
          label: words.outcome(outcome),
          checked: chosen.includes(outcome),
          onSelect: () => {
            const next = OUTCOMES.filter((one) => (one === outcome) !== chosen.includes(one));
            onFilter({ outcome: next.join(',') || undefined });
          },
        })),
      ]}
    />
  );
}

/** What people call the value of a filter. */
export function shownValue(name: string, value: string, facets: Facets | undefined): string {
  switch (name) {
    case 'range':
      return labels.range(value);
    case 'since':
    case 'until':
      return formatTime(Number(value), 'date');
    case 'wrong':
      return labels.wrong;
    case 'outcome':
      return words.outcome(value);
    case 'actor':
      return facets?.actors.find((actor) => actor.id === value)?.name ?? value;
    default:
      return value;
  }
}

function ChipButton({
  chip,
  facets,
  onRemove,
}: {
  chip: Chip;
  facets: Facets | undefined;
  onRemove: () => void;
}) {
  const name = labels.names(chip.name);
  const value = shownValue(chip.name, chip.value, facets);
  return (
    <button type="button" class={css.chip} title={labels.remove} onClick={onRemove}>
      <span class={css.chipName}>{name}</span>
      <span class={css.chipValue}>{value}</span>
      <span class="visually-hidden">, {labels.remove}</span>
      <CloseIcon size={12} />
    </button>
  );
}
