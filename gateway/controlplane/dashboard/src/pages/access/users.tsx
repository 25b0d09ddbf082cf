import { useState } from 'preact/hooks';
import { api, take } from '../../api/client';
import type { LinkAnswer, UserView } from '../../api/schema';
import { isAdmin } from '../../api/session';
import { useResource } from '../../api/use_resource';
import { useSubmission } from '../../api/use_submission';
import { access as words } from '../../strings/access';
import {
  Badge,
  Button,
  CheckIcon,
  type Column,
  ConfirmDialog,
  CopyIcon,
  Countdown,
  copyText,
  DataTable,
  Dialog,
  Empty,
  Menu,
  MoreIcon,
  Panel,
  PlusIcon,
  Resource,
  SelectField,
  TextField,
  TimeText,
  toast,
  WarningIcon,
} from '../../ui';
import css from './access.module.css';
import { FormDialog } from './form_dialog';

type Role = UserView['role'];
type Act = 'admin' | 'viewer' | 'link' | 'reset' | 'remove';

const ROLES: readonly Role[] = ['viewer', 'admin'];

interface NewLink extends LinkAnswer {
  name: string;
}

/** Who may sign in; admins let others in, change what they may do, and remove them. */
export function Users() {
  const users = useResource((signal) => take(api.GET('/api/v1/users', { signal })), [], {
    refreshOn: ['users'],
  });
  const [adding, setAdding] = useState(false);
  const [doing, setDoing] = useState<{ act: Act; user: UserView }>();
  const [link, setLink] = useState<NewLink>();
  const may = isAdmin();
  const columns = columnsFor(may ? (act, user) => setDoing({ act, user }) : undefined);
  return (
    <Panel
      title={words.people.title}
      hint={words.people.hint}
      busy={users.loading}
      flush
      actions={
        may && (
          <Button icon={PlusIcon} onClick={() => setAdding(true)}>
            {words.people.add}
          </Button>
        )
      }
    >
      <Resource of={users} what={words.people.what} height={120}>
        {(data) => (
          <DataTable
            rows={data.users}
            columns={columns}
            rowKey={(user) => user.id}
            caption={words.people.caption}
            sort={{ key: 'name', direction: 'asc' }}
            empty={<Empty title={words.people.empty}>{may && words.people.emptyHint}</Empty>}
          />
        )}
      </Resource>
      {adding && (
        <AddUser
          onClose={() => setAdding(false)}
          onAdded={(made) => {
            setAdding(false);
            setLink(made);
            users.reload();
          }}
        />
      )}
      {doing && (
        <Doing
          {...doing}
          onClose={() => setDoing(undefined)}
          onDone={(made) => {
            setLink(made);
            users.reload();
          }}
        />
      )}
      {link && <ShowLink link={link} onClose={() => setLink(undefined)} />}
    </Panel>
  );
}

function columnsFor(onAct: ((act: Act, user: UserView) => void) | undefined): Column<UserView>[] {
  const columns: Column<UserView>[] = [
    {
      key: 'name',
      label: words.people.columns.name,
      sortValue: (user) => user.name,
      render: (user) => (
        <span class={css.who}>
          <span class={css.cut} title={user.name}>
            {user.name}
          </span>
          {user.is_you && <Badge tone="accent">{words.people.you}</Badge>}
        </span>
      ),
    },
    {
      key: 'role',
      label: words.people.columns.role,
      width: 100,
      sortValue: (user) => user.role,
      render: (user) => (
        <span title={words.people.roleHints[user.role]}>{words.people.roles[user.role]}</span>
      ),
    },
    {
      key: 'access',
      label: words.people.columns.access,
      width: 210,
      sortValue: (user) => accessOf(user),
      render: (user) => <span class={user.has_password ? undefined : 'quiet'}>{accessOf(user)}</span>,
    },
    {
      key: 'seen',
      label: words.people.columns.seen,
      width: 130,
      sortValue: (user) => user.last_seen_at,
      render: (user) =>
        user.last_seen_at === null ? (
          <span class="quiet">{words.people.never}</span>
        ) : (
          <TimeText at={user.last_seen_at} />
        ),
    },
  ];
  if (onAct) {
    columns.push({
      key: 'actions',
      label: words.people.columns.actions,
      width: 84,
      align: 'end',
      render: (user) => <Actions user={user} onAct={onAct} />,
    });
  }
  return columns;
}

function accessOf(user: UserView): string {
  if (!user.has_password) return words.people.invited;
  return user.has_totp ? words.people.both : words.people.password;
}

function Actions({ user, onAct }: { user: UserView; onAct: (act: Act, user: UserView) => void }) {
  const other: Role = user.role === 'admin' ? 'viewer' : 'admin';
  return (
    <Menu
      label={words.people.actions(user.name)}
      icon={MoreIcon}
      iconOnly
      items={[
        { label: words.people.make[other], onSelect: () => onAct(other, user) },
        { label: words.people.newLink, onSelect: () => onAct('link', user) },
        ...(user.has_totp ? [{ label: words.people.resetTotp, onSelect: () => onAct('reset', user) }] : []),
        { label: words.people.remove, tone: 'danger' as const, onSelect: () => onAct('remove', user) },
      ]}
    />
  );
}

/** Asks whether an action is meant, and does it. */
function Doing(props: {
  act: Act;
  user: UserView;
  onClose: () => void;
  onDone: (link: NewLink | undefined) => void;
}) {
  const { act, user } = props;
  const params = { path: { id: user.id } };
  const asked = {
    admin: {
      title: words.people.makeTitle.admin(user.name),
      body: words.people.makeBody.admin,
      label: words.people.make.admin,
    },
    viewer: {
      title: words.people.makeTitle.viewer(user.name),
      body: words.people.makeBody.viewer,
      label: words.people.make.viewer,
    },
    link: {
      title: words.people.newLinkTitle(user.name),
      body: words.people.newLinkBody,
      label: words.people.newLinkSubmit,
    },
    reset: {
      title: words.people.resetTitle(user.name),
      body: words.people.resetBody,
      label: words.people.resetTotp,
    },
    remove: {
      title: words.people.removeTitle(user.name),
      body: words.people.removeBody,
      label: words.people.remove,
    },
  }[act];

  async function work(): Promise<void> {
    let link: NewLink | undefined;
    if (act === 'link') {
      link = { ...(await take(api.POST('/api/v1/users/{id}/link', { params }))), name: user.name };
    } else if (act === 'reset') {
      await take(api.DELETE('/api/v1/users/{id}/totp', { params }));
      toast(words.people.resetDone(user.name));
    } else if (act === 'remove') {
      await take(api.DELETE('/api/v1/users/{id}', { params }));
      toast(words.people.removed(user.name));
    } else {
      await take(api.PATCH('/api/v1/users/{id}', { params, body: { role: act } }));
      toast(words.people.made[act](user.name));
    }
    props.onDone(link);
  }

  return (
    <ConfirmDialog
      open
      title={asked.title}
      body={asked.body}
      confirmLabel={asked.label}
      tone={act === 'remove' || act === 'reset' ? 'danger' : 'primary'}
      onConfirm={work}
      onClose={props.onClose}
    />
  );
}

function AddUser({ onAdded, onClose }: { onAdded: (link: NewLink) => void; onClose: () => void }) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [tried, setTried] = useState(false);
  const submission = useSubmission();

  async function add(): Promise<void> {
    setTried(true);
    if (!name.trim()) return;
    await submission.submit(async () => {
      const made = await take(api.POST('/api/v1/users', { body: { name: name.trim(), role } }));
      onAdded({ ...made.link, name: made.user.name });
    });
  }

  return (
    <FormDialog
      title={words.people.addTitle}
      submission={submission}
      submitLabel={words.people.addSubmit}
      onSubmit={() => void add()}
      onClose={onClose}
    >
      <TextField
        label={words.people.addName}
        value={name}
        onValue={setName}
        error={tried && !name.trim() ? words.people.addNameMissing : undefined}
        autocomplete="off"
        maxlength={64}
        autofocus
      />
      <SelectField
        label={words.people.addRole}
        value={role}
        onValue={(value) => setRole(value as Role)}
        options={ROLES.map((one) => ({ value: one, label: words.people.roles[one] }))}
        hint={words.people.roleHints[role]}
      />
    </FormDialog>
  );
}

/** Shows a link the only time that it can be shown. */
function ShowLink({ link, onClose }: { link: NewLink; onClose: () => void }) {
  const [taken, setTaken] = useState(false);
  const [warned, setWarned] = useState(false);

  async function copy(): Promise<void> {
    if (await copyText(link.url)) setTaken(true);
    else toast(words.people.linkCopyFailed, 'warning');
  }

  function close(): void {
    if (taken || warned) onClose();
    else setWarned(true);
  }

  return (
    <Dialog
      open
      title={words.people.linkTitle(link.name)}
      onClose={close}
      footer={
        <>
          <Button icon={taken ? CheckIcon : CopyIcon} onClick={() => void copy()}>
            {taken ? words.people.linkCopied : words.people.linkCopy}
          </Button>
          <Button kind="primary" onClick={close}>
            {warned && !taken ? words.people.closeAnyway : words.people.done}
          </Button>
        </>
      }
    >
      {/* Whoever copies it by hand has it too. */}
      <div class={css.form} onCopy={() => setTaken(true)}>
        <p>{words.people.linkAbout}</p>
        <p class={css.link}>
          <code>{link.url}</code>
        </p>
        <p class={css.small}>
          {words.people.linkEnds} <Countdown until={link.expires_at} />
        </p>
        <div role="status">
          {warned && !taken && (
            <p class={css.warning}>
              <WarningIcon />
              <span>{words.people.linkNotCopied}</span>
            </p>
          )}
        </div>
      </div>
    </Dialog>
  );
}
