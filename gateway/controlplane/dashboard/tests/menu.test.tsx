// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from '@testing-library/preact';
import { afterEach, expect, test, vi } from 'vitest';
import { Menu } from '../src/ui';

afterEach(cleanup);

test('a menu closes when the window gets another size', async () => {
  render(<Menu label="More" items={[{ label: 'Keys', onSelect: () => {} }]} />);
  await act(async () => {
    fireEvent.click(screen.getByRole('button', { name: 'More' }));
  });
  expect(screen.queryAllByRole('menuitem', { hidden: true })).toHaveLength(1);
  // Unlike Happy DOM, a browser does not take a window for a node.
  const contains = vi.spyOn(Node.prototype, 'contains');
  await act(async () => {
    window.dispatchEvent(new Event('resize'));
  });
  expect(contains.mock.calls.flat()).not.toContain(window);
  expect(screen.queryAllByRole('menuitem', { hidden: true })).toEqual([]);
});
