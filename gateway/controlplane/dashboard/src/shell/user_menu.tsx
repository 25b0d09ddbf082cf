import { failureFrom } from '../api/failure';
import { session, signOut } from '../api/session';
import { shell } from '../strings/shell';
import { Menu, SignOutIcon, toast, UserIcon } from '../ui';
import css from './shell.module.css';

async function leave(): Promise<void> {
  try {
    await signOut();
  } catch (error) {
    toast(`${shell.user.signOutFailed} ${failureFrom(error).message}`, 'danger');
  }
}

/** Who is signed in, and the way out. */
export function UserMenu() {
  const { user, version, rollout } = session.value;
  if (!user) return null;
  return (
    <>
      {/* The button's name says it to those who hear. */}
      <span class={css.who} title={user.name} aria-hidden="true">
        {user.name}
      </span>
      <Menu
        label={shell.user.menu(user.name)}
        icon={UserIcon}
        iconOnly
        header={
          <>
            <p class={css.userName}>{user.name}</p>
            <p>{shell.user.role[user.role] ?? user.role}</p>
            {rollout && <p>{shell.rollout(rollout)}</p>}
            {version && <p class="quiet">{`${shell.product} ${version}`}</p>}
          </>
        }
        items={
          // Who is signed in to a proxy in front signs out there.
          user.how === 'header'
            ? [
                {
                  label: shell.user.signOut,
                  hint: shell.user.signOutAtProxy,
                  icon: SignOutIcon,
                  disabled: true,
                },
              ]
            : [{ label: shell.user.signOut, icon: SignOutIcon, onSelect: () => void leave() }]
        }
      />
    </>
  );
}
