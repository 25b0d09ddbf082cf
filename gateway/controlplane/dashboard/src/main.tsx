import { render } from 'preact';

function App() {
  return <main>Claude Stream Gateway</main>;
}

const root = document.getElementById('app');
if (root) render(<App />, root);
