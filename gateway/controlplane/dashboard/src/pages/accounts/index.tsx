import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="accounts">This page is not there yet.</Empty>;
}
