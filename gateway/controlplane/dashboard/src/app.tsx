import { LocationProvider } from 'preact-iso';
import { Gate } from './shell/gate';

/** Links to anything else of the gateway, such as a download, are the browser's business. */
const PAGES = /^\/(?!api\/|metrics|healthz)/;

/** The dashboard. */
export function App() {
  return (
    <LocationProvider scope={PAGES}>
      <Gate />
    </LocationProvider>
  );
}
