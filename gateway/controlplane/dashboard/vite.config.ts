import { defineConfig } from 'vitest/config';

export default defineConfig({
  base: '/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'build',
    emptyOutDir: true,
    target: 'es2022',
    // Browsers that know light-dark(); without this it is rewritten into something larger.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    sourcemap: false,
    modulePreload: { polyfill: false },
    // A data: URL in a style sheet would need more than the content security policy gives.
    assetsInlineLimit: 0,
    // What of others' is in the scripts, with their licenses.
    license: { fileName: 'licenses.md' },
  },
  worker: { format: 'es' },
  test: {
    // A page costs more than most tests; those that need one say so in their first line.
    environment: 'node',
    pool: 'threads',
    include: ['tests/**/*.test.{ts,tsx}'],
  },
});
