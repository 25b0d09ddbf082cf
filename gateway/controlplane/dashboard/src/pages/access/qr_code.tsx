import { useEffect, useState } from 'preact/hooks';
import { access as words } from '../../strings/access';
import { Loading } from '../../ui';
import css from './access.module.css';

const QUIET = 4;

/** A text as a QR code, dark on light whatever the theme: that is what cameras expect. */
export function QrCode({ text, label }: { text: string; label: string }) {
  const [drawn, setDrawn] = useState<{ path: string; size: number }>();
  useEffect(() => {
    let wanted = true;
    void import('uqr').then(({ encode }) => {
      const { data, size } = encode(text, { border: 0, ecc: 'M' });
      const squares = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : '')));
      if (wanted) setDrawn({ path: squares.join(''), size });
    });
    return () => {
      wanted = false;
    };
  }, [text]);
  if (!drawn) return <Loading what={words.mine.second.qrLoading} height={180} />;
  const side = drawn.size + 2 * QUIET;
  return (
    <svg
      class={css.qr}
      role="img"
      aria-label={label}
      viewBox={`${-QUIET} ${-QUIET} ${side} ${side}`}
      shape-rendering="crispEdges"
    >
      <rect x={-QUIET} y={-QUIET} width={side} height={side} class={css.qrLight} />
      <path d={drawn.path} class={css.qrDark} />
    </svg>
  );
}
