import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="requests">This page is not there yet.</Empty>;
}
