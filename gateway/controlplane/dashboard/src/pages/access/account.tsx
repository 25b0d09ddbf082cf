import { session } from '../../api/session';
import { access as words } from '../../strings/access';
import { Panel } from '../../ui';
import css from './access.module.css';
import { Browsers } from './browsers';
import { OwnPassword } from './own_password';
import { SecondFactor } from './second_factor';

export { Users } from './users';

/** How the reader signs in, and where. */
export function MyAccount() {
  const { user } = session.value;
  if (!user) return null;
  if (user.how === 'token' || user.how === 'header') {
    return (
      <Panel title={words.mine.notAUser.title}>
        <p class="quiet">{words.mine.notAUser[user.how]}</p>
      </Panel>
    );
  }
  return (
    <div class={css.panels}>
      <OwnPassword />
      <SecondFactor />
      <Browsers />
    </div>
  );
}
