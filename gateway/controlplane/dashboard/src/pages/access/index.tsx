import { Empty } from '../../ui';

export function SignIn() {
  return <Empty title="Sign in">This page is not there yet.</Empty>;
}

export function Setup() {
  return <Empty title="Set up">This page is not there yet.</Empty>;
}
