import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { failureFrom } from '../../api/failure';
import { accounts as words } from '../../strings/accounts';
import { CheckIcon, CloseIcon, EditIcon, IconButton, TextField } from '../../ui';
import css from './accounts.module.css';

/** A name that is changed where it stands: Enter saves, Escape keeps it. */
export function NameEditor(props: {
  name: string;
  /** Null where it cannot be changed. */
  onRename: ((name: string) => Promise<void>) | null;
  /** Opens what the name stands for. */
  onOpen: () => void;
}) {
  const [editing, setEditing] = useState(false);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const [typed, setTyped] = useState('');
  const place = useRef<HTMLDivElement>(null);
  const giveBack = useRef(false);

  // Before the paint: what is typed at once belongs into the field.
  useLayoutEffect(() => {
    if (editing) {
      const field = place.current?.querySelector('input');
      field?.focus();
      field?.select();
    } else if (giveBack.current) place.current?.querySelector<HTMLElement>('[data-rename]')?.focus();
    giveBack.current = editing;
  }, [editing]);

  async function save(): Promise<void> {
    const name = typed.trim();
    if (busy || props.onRename === null) return;
    if (name === props.name || name === '') return setEditing(false);
    setBusy(true);
    setProblem('');
    try {
      await props.onRename(name);
      setEditing(false);
    } catch (error) {
      setProblem(failureFrom(error).message);
    }
    setBusy(false);
  }

  if (editing) {
    return (
      // biome-ignore lint/a11y/noStaticElementInteractions: keys come from the field inside
      <div
        class={css.renaming}
        ref={place}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.target as HTMLElement).tagName === 'INPUT') void save();
          else if (event.key === 'Escape') {
            event.stopPropagation();
            event.preventDefault();
            setEditing(false);
          } else return;
          event.preventDefault();
        }}
      >
        <TextField
          label={words.rename.field(props.name)}
          labelHidden
          value={typed}
          onValue={setTyped}
          maxlength={100}
          error={problem || undefined}
          autocomplete="off"
        />
        <IconButton label={words.rename.save} icon={CheckIcon} busy={busy} onClick={() => void save()} />
        <IconButton label={words.rename.cancel} icon={CloseIcon} onClick={() => setEditing(false)} />
      </div>
    );
  }
  return (
    <div class={css.named} ref={place}>
      <h3 class={css.name}>
        <button type="button" class={css.nameButton} onClick={props.onOpen} title={props.name}>
          {props.name}
        </button>
      </h3>
      {props.onRename && (
        <IconButton
          data-rename=""
          class={css.renameButton}
          label={words.rename.start(props.name)}
          icon={EditIcon}
          onClick={() => {
            setTyped(props.name);
            setProblem('');
            setEditing(true);
          }}
        />
      )}
    </div>
  );
}
