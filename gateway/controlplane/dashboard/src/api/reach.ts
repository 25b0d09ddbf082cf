import { signal } from '@preact/signals';

/** False from the first call that got no answer until the next one that did. */
export const reachable = signal(true);
