import { LocationProvider } from 'preact-iso';
import { Gate } from './shell/gate';

/** The dashboard. */
export function App() {
  return (
    <LocationProvider>
      <Gate />
    </LocationProvider>
  );
}
