import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="usage">This page is not there yet.</Empty>;
}
