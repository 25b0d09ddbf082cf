import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="keys">This page is not there yet.</Empty>;
}
