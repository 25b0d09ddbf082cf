import { useState } from 'preact/hooks';
import { requests as words } from '../../strings/requests';
import { TextField } from '../../ui';
import css from './requests.module.css';

const labels = words.filters;

/** Ids as gateway and upstreams make them; nothing else is worth asking for. */
const ID = /^[\w.-]{1,200}$/;

/** Leads to a request whose id somebody has, such as from the header of an answer. */
export function Finder({ onFind }: { onFind: (id: string) => void }) {
  const [id, setId] = useState('');
  const wanted = id.trim();
  return (
    <form
      class={css.find}
      onSubmit={(event) => {
        event.preventDefault();
        if (ID.test(wanted)) onFind(wanted);
      }}
    >
      <TextField
        label={labels.find}
        labelHidden
        type="search"
        placeholder={labels.find}
        value={id}
        onValue={setId}
        error={wanted === '' || ID.test(wanted) ? undefined : labels.findError}
        maxlength={300}
        autocomplete="off"
        mono
      />
    </form>
  );
}
