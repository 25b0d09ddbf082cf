import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="settings">This page is not there yet.</Empty>;
}
