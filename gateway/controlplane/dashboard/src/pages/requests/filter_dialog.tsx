import { useEffect, useId, useState } from 'preact/hooks';
import type { Facets } from '../../api/schema';
import { requests as words } from '../../strings/requests';
import { ui } from '../../strings/ui';
import { Button, Dialog, SelectField, TextField } from '../../ui';
import { type Filter, type FilterName, fromLocal, NO_FILTER, toLocal } from './filters';
import css from './requests.module.css';

const labels = words.filters;

/** All filters at once; they count when the reader says so. */
export function FilterDialog(props: {
  open: boolean;
  filter: Filter;
  onFilter: (changes: Partial<Filter>) => void;
  facets: Facets | undefined;
  facetsFailed: boolean;
  onClose: () => void;
}) {
  const { open, filter, facets, onClose } = props;
  const [draft, setDraft] = useState<Filter>(filter);
  const form = useId();
  useEffect(() => {
    if (open) setDraft(filter);
  }, [open]);

  const set = (name: FilterName) => (value: string) =>
    setDraft((old) => ({ ...old, [name]: value || undefined }));
  const setTime = (name: 'since' | 'until') => (text: string) =>
    setDraft((old) => ({ ...old, range: undefined, [name]: fromLocal(text) }));
  const status = Number(draft.status ?? 100);
  const isStatus = Number.isInteger(status) && status >= 100 && status <= 599;
  const inOrder = !draft.since || !draft.until || Number(draft.since) < Number(draft.until);

  function submit(event: Event): void {
    event.preventDefault();
    if (!isStatus || !inOrder) return;
    props.onFilter({ ...NO_FILTER, ...draft });
    onClose();
  }

  return (
    <Dialog
      open={open}
      title={labels.title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>{ui.cancel}</Button>
          <Button kind="primary" type="submit" form={form}>
            {labels.apply}
          </Button>
        </>
      }
    >
      <form id={form} class={css.filterForm} onSubmit={submit} noValidate>
        <TextField
          label={labels.names('since')}
          type="datetime-local"
          value={toLocal(draft.since)}
          onValue={setTime('since')}
        />
        <TextField
          label={labels.names('until')}
          type="datetime-local"
          value={toLocal(draft.until)}
          onValue={setTime('until')}
          error={inOrder ? undefined : labels.order}
        />
        <Named
          label={labels.model}
          hint={labels.modelHint}
          value={draft.model}
          onValue={set('model')}
          known={facets?.models}
          mono
        />
        <Named label={labels.actor} value={draft.actor} onValue={set('actor')} known={names(facets)} />
        <Named
          label={labels.account}
          value={draft.account}
          onValue={set('account')}
          known={facets?.accounts}
        />
        <Named
          label={labels.tried}
          hint={labels.triedHint}
          value={draft.tried}
          onValue={set('tried')}
          known={facets?.accounts}
        />
        <SelectField
          label={labels.names('provider')}
          value={draft.provider ?? ''}
          onValue={set('provider')}
          options={[
            { value: '', label: labels.any },
            { value: 'anthropic', label: ui.provider.anthropic },
            { value: 'openai', label: ui.provider.openai },
          ]}
        />
        <Named
          label={labels.names('stop_reason')}
          value={draft.stop_reason}
          onValue={set('stop_reason')}
          known={facets?.stop_reasons}
          mono
        />
        <SelectField
          label={labels.names('code')}
          value={draft.code ?? ''}
          onValue={set('code')}
          options={[
            { value: '', label: labels.any },
            ...[...new Set([...(facets?.codes ?? []), ...(draft.code ? [draft.code] : [])])].map((code) => ({
              value: code,
              label: code,
            })),
          ]}
        />
        <TextField
          label={labels.status}
          inputmode="numeric"
          maxlength={3}
          value={draft.status ?? ''}
          onValue={set('status')}
          error={isStatus ? undefined : labels.statusError}
        />
        <TextField
          label={labels.names('session')}
          hint={labels.sessionHint}
          maxlength={200}
          value={draft.session ?? ''}
          onValue={set('session')}
          mono
        />
        <Named
          label={labels.names('route')}
          value={draft.route}
          onValue={set('route')}
          known={facets?.routes}
          mono
        />
        {props.facetsFailed && <p class={css.formNote}>{labels.namesFailed}</p>}
      </form>
    </Dialog>
  );
}

function names(facets: Facets | undefined): string[] | undefined {
  return facets?.actors.map((actor) => actor.name);
}

/** A text with names to choose from. */
function Named(props: {
  label: string;
  hint?: string;
  value: string | undefined;
  onValue: (value: string) => void;
  known: readonly string[] | undefined;
  mono?: boolean;
}) {
  const list = useId();
  return (
    <div>
      <TextField
        label={props.label}
        hint={props.hint}
        value={props.value ?? ''}
        onValue={props.onValue}
        maxlength={200}
        mono={props.mono}
        list={list}
        autocomplete="off"
      />
      <datalist id={list}>
        {[...new Set(props.known ?? [])].map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </div>
  );
}
