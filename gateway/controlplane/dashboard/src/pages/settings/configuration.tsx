import { api, take } from '../../api/client';
import type { SettingView } from '../../api/schema';
import { useResource } from '../../api/use_resource';
import { formatCount } from '../../lib/format';
import { useQueryState } from '../../lib/query';
import { settings as words } from '../../strings/settings';
import { Badge, Button, CheckField, Empty, KeyValue, Panel, Resource, TextField } from '../../ui';
import { wantedGroups } from './filter';
import css from './settings.module.css';

/** What the gateway is set to, where that comes from, and how far it has been rolled out. */
export function Configuration() {
  const known = useResource((signal) => take(api.GET('/api/v1/settings', { signal })), [], {
    refreshOn: ['settings'],
  });
  const [query, setQuery] = useQueryState<{ q?: string; set?: string }>(['q', 'set']);
  const wanted = { text: query.q ?? '', onlySet: query.set === '1' };
  return (
    <Resource of={known} what={words.what} height={640}>
      {(data) => {
        const groups = wantedGroups(data.groups, wanted);
        const count = (of: typeof data.groups) =>
          formatCount(of.reduce((sum, group) => sum + group.settings.length, 0));
        return (
          <div class={css.stack}>
            <div class={css.pair}>
              <Rollout state={data.rollout.state} approval={data.rollout.approval} />
              <Panel title={words.about.title}>
                <KeyValue
                  items={[
                    [words.about.version, data.version],
                    [words.about.python, data.python],
                    [words.about.database, <code key="database">{data.database}</code>],
                    [words.about.dataDirectory, <code key="directory">{data.data_directory}</code>],
                    [words.about.dataUrl, <code key="url">{data.data_url}</code>],
                  ]}
                />
              </Panel>
            </div>
            <Panel title={words.configuration.title} hint={words.configuration.hint} busy={known.loading}>
              <div class={css.filters}>
                <TextField
                  label={words.configuration.search}
                  labelHidden
                  type="search"
                  placeholder={words.configuration.searchPlaceholder}
                  value={wanted.text}
                  onValue={(q) => setQuery({ q }, { replace: true })}
                />
                <CheckField
                  label={words.configuration.onlySet}
                  value={wanted.onlySet}
                  onValue={(set) => setQuery({ set: set ? '1' : undefined })}
                />
                <p class={css.count} role="status">
                  {words.configuration.count(count(groups), count(data.groups))}
                </p>
              </div>
              {groups.length === 0 && (
                <Empty title={words.configuration.none}>
                  <p>{words.configuration.noneNext}</p>
                  <Button onClick={() => setQuery({ q: undefined, set: undefined })}>
                    {words.configuration.showAll}
                  </Button>
                </Empty>
              )}
              {groups.map((group) => (
                <section key={group.name} class={css.group}>
                  <h3>{group.name ? words.configuration.group(group.name) : words.configuration.general}</h3>
                  <ul class={css.settings}>
                    {group.settings.map((one) => (
                      <Setting key={one.name} of={one} />
                    ))}
                  </ul>
                </section>
              ))}
            </Panel>
          </div>
        );
      }}
    </Resource>
  );
}

function Rollout({ state, approval }: { state: string; approval: string }) {
  const promoted = state === 'promoted';
  return (
    <Panel title={words.rollout.title}>
      <div class={css.rollout}>
        <Badge tone={promoted ? 'ok' : 'notice'}>
          {promoted ? words.rollout.promoted : words.rollout.canary}
        </Badge>
        <p>{promoted ? words.rollout.promotedMeans : words.rollout.canaryMeans}</p>
        {promoted && <KeyValue items={[[words.rollout.approval, approval]]} />}
        {!promoted && <a href="/canary">{words.rollout.checks}</a>}
      </div>
    </Panel>
  );
}

function Setting({ of }: { of: SettingView }) {
  return (
    <li class={css.setting}>
      <div class={css.name}>
        <code>{of.name}</code>
        {of.variable && <code class={css.variable}>{of.variable}</code>}
      </div>
      <div class={css.value}>
        <Value of={of} />
        {of.origin !== 'default' && of.default !== null && (
          <span class={css.default}>{words.configuration.defaultIs(of.default)}</span>
        )}
      </div>
      <div class={css.origin}>
        <Origin name={of.origin} />
      </div>
      <p class={css.meaning}>{of.meaning.replaceAll('`', '')}</p>
    </li>
  );
}

function Value({ of }: { of: SettingView }) {
  if (of.is_secret && of.value === null) {
    return (
      <span class={css.quiet}>
        {of.is_set ? words.configuration.secretSet : words.configuration.secretUnset}
      </span>
    );
  }
  if (of.value === null) return <span class={css.quiet}>{words.configuration.empty}</span>;
  return <code>{of.value}</code>;
}

function Origin({ name }: { name: string }) {
  const known = words.configuration.origin;
  if (name === 'default') {
    return (
      <Badge tone="idle" icon={null}>
        {known.default}
      </Badge>
    );
  }
  const label = name === 'file' || name === 'command' ? known[name] : known.environment;
  return <Badge tone="accent">{label}</Badge>;
}
