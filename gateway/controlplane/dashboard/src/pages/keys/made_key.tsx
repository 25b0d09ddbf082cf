import { useEffect, useRef, useState } from 'preact/hooks';
import type { KeyList, MadeKey } from '../../api/schema';
import { formatCount, formatTime } from '../../lib/format';
import { remember, remembered } from '../../lib/storage';
import { keys as words } from '../../strings/keys';
import {
  Button,
  CheckIcon,
  CodeBlock,
  CopyIcon,
  copyText,
  Dialog,
  NoticeIcon,
  Tabs,
  TextField,
  toast,
  WarningIcon,
} from '../../ui';
import css from './keys.module.css';
import { CLIENTS, type Client, cleanAddress, likelyAddress, snippet } from './snippets';

const KEPT = 'client-address';

/** Where the gateway is for programs of its own machine. */
export type Reach = Pick<KeyList, 'base_url' | 'is_local'>;

/** Shows a key the only time that it can be shown, and how to use it. */
export function MadeKeyDialog(props: {
  made: MadeKey;
  isRotated: boolean;
  reach: Reach;
  onClose: () => void;
}) {
  const { made, reach } = props;
  const [copied, setCopied] = useState(false);
  const [taken, setTaken] = useState(false);
  const isCopied = copied || taken;
  const [warned, setWarned] = useState(false);
  const copy = useRef<HTMLDivElement>(null);
  const until = made.key.replaced_valid_until;

  useEffect(() => {
    copy.current?.querySelector('button')?.focus();
  }, []);

  async function copyKey(): Promise<void> {
    if (await copyText(made.secret)) {
      setCopied(true);
      setWarned(false);
    } else {
      toast(words.made.copyFailed, 'warning');
    }
  }

  function close(): void {
    if (isCopied || warned) props.onClose();
    else setWarned(true);
  }

  return (
    <Dialog
      open
      wide
      title={words.made.title(made.key.name)}
      onClose={close}
      footer={
        <Button kind={isCopied ? 'primary' : 'plain'} onClick={close}>
          {warned && !isCopied ? words.made.closeAnyway : words.made.done}
        </Button>
      }
    >
      {/* Whoever copies it by hand, or a line that has it, has it too. */}
      <div class={css.form} onCopy={() => setTaken(true)}>
        <p>{words.made.once}</p>
        <div class={css.secret} ref={copy}>
          <code>{made.secret}</code>
          <Button kind="primary" icon={copied ? CheckIcon : CopyIcon} onClick={() => void copyKey()}>
            {copied ? words.made.copied : words.made.copy}
          </Button>
        </div>
        <div role="status">
          {warned && !isCopied && (
            <div class={`${css.notice} ${css.warning}`}>
              <WarningIcon />
              <p>{words.made.notCopied}</p>
            </div>
          )}
        </div>
        {made.namesakes.length > 0 && (
          <div class={css.notice}>
            <NoticeIcon />
            <p>{words.made.namesakes(formatCount(made.namesakes.length))}</p>
          </div>
        )}
        {props.isRotated && (
          <p class={css.hint}>
            {until === null ? words.made.noGrace : words.made.grace(formatTime(until, 'date'))}
          </p>
        )}
        <HowToUse
          secret={made.secret}
          models={made.key.models}
          reach={reach}
          onTaken={() => setTaken(true)}
        />
      </div>
    </Dialog>
  );
}

function HowToUse(props: { secret: string; models: readonly string[]; reach: Reach; onTaken: () => void }) {
  const { reach } = props;
  const [address, setAddress] = useState(
    () => remembered(KEPT) ?? likelyAddress(reach.base_url, reach.is_local, window.location.hostname),
  );
  const [client, setClient] = useState<Client>('claude');
  return (
    <div class={css.form}>
      <TextField
        type="url"
        label={words.made.address}
        hint={reach.is_local ? words.made.addressLocal : words.made.addressHint}
        value={address}
        mono
        onValue={(text) => {
          setAddress(text);
          remember(KEPT, cleanAddress(text) || undefined);
        }}
      />
      <Tabs
        label={words.made.use}
        tabs={CLIENTS.map((key) => ({ key, label: words.made[key] }))}
        active={client}
        onActive={(key) => setClient(key as Client)}
      >
        {/* biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: it only takes note */}
        <div onClick={(event) => (event.target as Element).closest('button') && props.onTaken()}>
          <CodeBlock
            label={words.made[client]}
            text={snippet(client, address || reach.base_url, props.secret, props.models)}
          />
        </div>
      </Tabs>
    </div>
  );
}
