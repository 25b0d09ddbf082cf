import { useState } from 'preact/hooks';
import { type ApiFailure, failureFrom } from './failure';

/** A form that is under way, and how it went. */
export interface Submission {
  busy: boolean;
  failure: ApiFailure | undefined;
  /** Does it; a second call while it goes on does nothing. Returns whether it worked. */
  submit: (act: () => Promise<void>) => Promise<boolean>;
  /** Forgets what went wrong. */
  clear: () => void;
}

/** Keeps what becomes of a form. */
export function useSubmission(): Submission {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<ApiFailure>();
  async function submit(act: () => Promise<void>): Promise<boolean> {
    if (busy) return false;
    setBusy(true);
    setFailure(undefined);
    try {
      await act();
      return true;
    } catch (error) {
      setFailure(failureFrom(error));
      return false;
    } finally {
      setBusy(false);
    }
  }
  return { busy, failure, submit, clear: () => setFailure(undefined) };
}
