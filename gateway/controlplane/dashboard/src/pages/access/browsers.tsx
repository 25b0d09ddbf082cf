import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import { failureFrom } from '../../api/failure';
import type { BrowserView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { access as words } from '../../strings/access';
import { Badge, Button, ConfirmDialog, Panel, Resource, TimeText, toast } from '../../ui';
import css from './access.module.css';
import { browserName } from './browser_name';

/** The browsers in which the reader is signed in; each can be signed out. */
export function Browsers() {
  const [asking, setAsking] = useState(false);
  const browsers = useResource((signal) => take(api.GET('/api/v1/session/others', { signal })), []);
  const sessions = browsers.data?.sessions ?? [];

  async function end(id: string): Promise<void> {
    try {
      await take(api.DELETE('/api/v1/session/others/{id}', { params: { path: { id } } }));
      toast(words.mine.browsers.ended);
    } catch (error) {
      toast(failureFrom(error).message, 'danger');
    }
    browsers.reload();
  }

  async function endOthers(): Promise<void> {
    const { ended } = await take(api.DELETE('/api/v1/session/others', {}));
    toast(words.mine.browsers.endedOthers(ended));
    browsers.reload();
  }

  return (
    <Panel
      title={words.mine.browsers.title}
      busy={browsers.loading}
      actions={
        sessions.some((one) => !one.is_this) && (
          <Button onClick={() => setAsking(true)}>{words.mine.browsers.endOthers}</Button>
        )
      }
    >
      <Resource of={browsers} what={words.mine.browsers.what} height={72}>
        {(data) => (
          <ul class={css.browsers} aria-label={words.mine.browsers.caption}>
            {data.sessions.map((one) => (
              <OneBrowser key={one.id} browser={one} onEnd={() => end(one.id)} />
            ))}
          </ul>
        )}
      </Resource>
      <ConfirmDialog
        open={asking}
        title={words.mine.browsers.endOthersTitle}
        body={words.mine.browsers.endOthersBody}
        confirmLabel={words.mine.browsers.endOthers}
        tone="primary"
        onConfirm={endOthers}
        onClose={() => setAsking(false)}
      />
    </Panel>
  );
}

function OneBrowser({ browser, onEnd }: { browser: BrowserView; onEnd: () => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  const name = browserName(browser.client) || words.mine.browsers.unknown;
  return (
    <li class={css.browser}>
      <div class={css.browserWords}>
        <p title={browser.client}>{name}</p>
        <p class={css.small}>
          {browser.address}
          {' · '}
          {words.mine.browsers.since} <TimeText at={browser.created_at} mode="date" />
          {' · '}
          {words.mine.browsers.used} <TimeText at={browser.used_at} />
        </p>
      </div>
      {browser.is_this ? (
        <Badge tone="accent">{words.mine.browsers.here}</Badge>
      ) : (
        <Button
          busy={busy}
          aria-label={words.mine.browsers.endOne(name)}
          onClick={() => {
            setBusy(true);
            void onEnd().finally(() => setBusy(false));
          }}
        >
          {words.mine.browsers.end}
        </Button>
      )}
    </li>
  );
}
