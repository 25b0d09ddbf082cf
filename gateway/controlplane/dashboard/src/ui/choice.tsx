import { useId } from 'preact/hooks';
import css from './choice.module.css';

/** One of a few, side by side. */
export function Choice<T extends string>(props: {
  label: string;
  options: readonly { value: T; label: string }[];
  value: T;
  onValue: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class={css.choices}>
      <legend class="visually-hidden">{props.label}</legend>
      {props.options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={option.value === props.value}
            onChange={() => props.onValue(option.value)}
          />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}
