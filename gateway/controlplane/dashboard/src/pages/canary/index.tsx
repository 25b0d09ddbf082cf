import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="canary">This page is not there yet.</Empty>;
}
