import { describe, expect, it } from 'vitest';
import { textOf } from '../src/lib/text_file';

function utf16(text: string, littleEndian: boolean): Blob {
  const view = new DataView(new ArrayBuffer(2 + text.length * 2));
  view.setUint16(0, 0xfeff, littleEndian);
  for (let at = 0; at < text.length; at += 1) view.setUint16(2 + at * 2, text.charCodeAt(at), littleEndian);
  return new Blob([view.buffer]);
}

describe('the text of a file', () => {
  it.each([
    ['UTF-8', new Blob(['[{"name": "Jörg"}]'])],
    ['UTF-8 with a mark', new Blob(['\ufeff[{"name": "Jörg"}]'])],
    ['UTF-16 as PowerShell writes it', utf16('[{"name": "Jörg"}]', true)],
    ['UTF-16 the other way round', utf16('[{"name": "Jörg"}]', false)],
  ])('is read from %s', async (_, file) => {
    expect(await textOf(file)).toBe('[{"name": "Jörg"}]');
  });

  it('is empty where the file is', async () => {
    expect(await textOf(new Blob([]))).toBe('');
  });
});
