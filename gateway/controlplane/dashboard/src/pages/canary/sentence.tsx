import { Fragment } from 'preact';

/** A sentence of the gateway's: what stands between backquotes is code. */
export function Sentence({ text }: { text: string }) {
  const parts = text.split('`');
  // A backquote that nothing ends is one.
  if (parts.length % 2 === 0) return <>{text}</>;
  return (
    <>{parts.map((part, i) => (i % 2 ? <code key={i}>{part}</code> : <Fragment key={i}>{part}</Fragment>))}</>
  );
}
