import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { cx } from '../lib/cx';
import { formatBytes } from '../lib/format';
import { textOf } from '../lib/text_file';
import { ui } from '../strings/ui';
import { Button } from './button';
import css from './drop_zone.module.css';
import { TextAreaField } from './field';
import { UploadIcon } from './icons';

const LARGEST = 1024 * 1024;

/**
 * Takes a text: from a file that is dropped or chosen, from the clipboard while it is on the page, or typed into
 * a field. The text stays in the page; what to do with it is the caller's business.
 */
export function DropZone(props: {
  label: string;
  /** File types, as for `<input type=file>`. */
  accept?: string;
  onText: (text: string, name: string) => void;
  onError: (message: string) => void;
}) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [pasting, setPasting] = useState(false);
  const [pasted, setPasted] = useState('');
  const latest = useRef(props);
  latest.current = props;

  async function read(files: FileList | null | undefined): Promise<void> {
    const [file, ...others] = files ?? [];
    if (!file) return;
    if (others.length > 0) return latest.current.onError(ui.dropZone.severalFiles);
    if (file.size > LARGEST) return latest.current.onError(ui.dropZone.tooLarge(formatBytes(LARGEST)));
    let text: string;
    try {
      text = await textOf(file);
    } catch {
      return latest.current.onError(ui.dropZone.unreadable);
    }
    if (text.trim() === '') return latest.current.onError(ui.dropZone.empty(file.name));
    if (text.includes('\0')) return latest.current.onError(ui.dropZone.noText(file.name));
    latest.current.onText(text, file.name);
  }

  useEffect(() => {
    const onPaste = (event: ClipboardEvent) => {
      if ((event.target as HTMLElement | null)?.closest?.('input, textarea, [contenteditable]')) return;
      if (event.clipboardData?.files.length) {
        event.preventDefault();
        void read(event.clipboardData.files);
        return;
      }
      const text = event.clipboardData?.getData('text');
      if (!text) return;
      event.preventDefault();
      latest.current.onText(text, ui.dropZone.pastedName);
    };
    document.addEventListener('paste', onPaste);
    return () => document.removeEventListener('paste', onPaste);
  }, []);

  return (
    <div class={css.whole}>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as this box */}
      <div
        class={cx(css.zone, over && css.over)}
        role="group"
        aria-labelledby={id}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void read(event.dataTransfer?.files);
        }}
      >
        <UploadIcon size={20} />
        <p id={id} class={css.label}>
          {props.label}
        </p>
        <p class={css.how}>{ui.dropZone.here}</p>
        <div class={css.buttons}>
          <Button onClick={() => input.current?.click()}>{ui.dropZone.choose}</Button>
          <Button aria-expanded={pasting} onClick={() => setPasting(!pasting)}>
            {ui.dropZone.paste}
          </Button>
        </div>
        <input
          ref={input}
          type="file"
          class="visually-hidden"
          tabIndex={-1}
          aria-label={props.label}
          accept={props.accept}
          onChange={(event) => {
            const field = event.currentTarget;
            void read(field.files).then(() => {
              field.value = '';
            });
          }}
        />
      </div>
      {pasting && (
        <div class={css.paste}>
          <TextAreaField label={ui.dropZone.pasteField} value={pasted} onValue={setPasted} rows={6} mono />
          <Button
            disabled={pasted.trim() === ''}
            onClick={() => {
              props.onText(pasted, ui.dropZone.pastedName);
              setPasted('');
              setPasting(false);
            }}
          >
            {ui.dropZone.pasteUse}
          </Button>
        </div>
      )}
    </div>
  );
}
