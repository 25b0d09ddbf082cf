import { Empty } from '../../ui';

export default function Page() {
  return <Empty title="now">This page is not there yet.</Empty>;
}
