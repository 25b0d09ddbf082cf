import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { cx } from '../lib/cx';
import { ui } from '../strings/ui';
import css from './field.module.css';
import { DangerIcon } from './icons';

/** What a control takes to belong to its label, hint and error. */
export interface FieldIds {
  id: string;
  'aria-describedby': string | undefined;
  'aria-invalid': 'true' | undefined;
  required: boolean | undefined;
}

interface FieldProps {
  label: ComponentChildren;
  hint?: ComponentChildren;
  error?: string | undefined;
  required?: boolean;
  /** The label is there for screen readers alone, where what stands around says it to the others. */
  labelHidden?: boolean;
}

/** A label, a control, a hint and an error that belong together. */
export function Field({
  children,
  ...props
}: FieldProps & { children: (ids: FieldIds) => ComponentChildren }) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const described = cx(Boolean(props.hint) && hintId, Boolean(props.error) && errorId);
  return (
    <div class={css.field}>
      <label for={id} class={props.labelHidden ? 'visually-hidden' : css.label}>
        {props.label}
        {props.required && <span class={css.required}> ({ui.required})</span>}
      </label>
      {children({
        id,
        'aria-describedby': described || undefined,
        'aria-invalid': props.error ? 'true' : undefined,
        required: props.required,
      })}
      {props.hint && (
        <p id={hintId} class={css.hint}>
          {props.hint}
        </p>
      )}
      <FieldError id={errorId} error={props.error} />
    </div>
  );
}

function FieldError({ id, error }: { id: string; error: string | undefined }) {
  if (!error) return null;
  return (
    <p id={id} class={css.error} role="alert">
      <DangerIcon size={13} />
      <span>{error}</span>
    </p>
  );
}

interface ControlProps extends FieldProps {
  disabled?: boolean;
  name?: string;
}

interface TextProps extends ControlProps {
  value: string;
  onValue: (value: string) => void;
  type?: 'text' | 'password' | 'search' | 'url' | 'email' | 'date' | 'datetime-local';
  placeholder?: string;
  autocomplete?: string;
  autofocus?: boolean;
  inputmode?: 'text' | 'numeric' | 'decimal';
  maxlength?: number;
  /** Id of a datalist: names to choose from. */
  list?: string;
  /** For keys, ids and models. */
  mono?: boolean;
}

/** A line of text. */
export function TextField({
  label,
  hint,
  error,
  required,
  labelHidden,
  value,
  onValue,
  mono,
  type = 'text',
  ...rest
}: TextProps) {
  return (
    <Field label={label} hint={hint} error={error} required={required} labelHidden={labelHidden}>
      {(ids) => (
        <input
          {...ids}
          {...rest}
          type={type as 'text'}
          class={cx(css.control, mono && css.mono)}
          value={value}
          spellcheck={false}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface NumberProps extends ControlProps {
  /** Undefined is an empty field. */
  value: number | undefined;
  onValue: (value: number | undefined) => void;
  min?: number;
  max?: number;
  step?: number | 'any';
  /** Stands behind the number: `requests a minute`. */
  unit?: string;
  placeholder?: string;
}

/** A number; an empty field is undefined. What is being typed stays as it is: `1.0` may become `1.05`. */
export function NumberField({
  label,
  hint,
  error,
  required,
  labelHidden,
  value,
  onValue,
  unit,
  step = 'any',
  ...rest
}: NumberProps) {
  const [typed, setTyped] = useState('');
  const written = value === undefined ? '' : String(value);
  return (
    <Field label={label} hint={hint} error={error} required={required} labelHidden={labelHidden}>
      {(ids) => (
        <span class={css.withUnit}>
          <input
            {...ids}
            {...rest}
            type="number"
            inputmode="decimal"
            step={step}
            class={css.control}
            value={typed !== '' && Number(typed) === value ? typed : written}
            onInput={(event) => {
              const { value: given, valueAsNumber } = event.currentTarget;
              setTyped(given);
              onValue(given === '' || Number.isNaN(valueAsNumber) ? undefined : valueAsNumber);
            }}
          />
          {unit && <span class={css.unit}>{unit}</span>}
        </span>
      )}
    </Field>
  );
}

interface SelectProps extends ControlProps {
  value: string;
  onValue: (value: string) => void;
  options: readonly { value: string; label: string; disabled?: boolean }[];
}

/** One of several. */
export function SelectField({
  label,
  hint,
  error,
  required,
  labelHidden,
  value,
  onValue,
  options,
  ...rest
}: SelectProps) {
  return (
    <Field label={label} hint={hint} error={error} required={required} labelHidden={labelHidden}>
      {(ids) => (
        <select
          {...ids}
          {...rest}
          class={css.control}
          value={value}
          onChange={(event) => onValue(event.currentTarget.value)}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value} disabled={option.disabled}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface CheckProps extends ControlProps {
  value: boolean;
  onValue: (value: boolean) => void;
}

/** Yes or no. */
export function CheckField({ label, hint, error, required, value, onValue, ...rest }: CheckProps) {
  const id = useId();
  const hintId = `${id}-hint`;
  const errorId = `${id}-error`;
  const described = cx(Boolean(hint) && hintId, Boolean(error) && errorId);
  return (
    <div class={css.check}>
      <input
        {...rest}
        id={id}
        type="checkbox"
        checked={value}
        required={required}
        aria-describedby={described || undefined}
        aria-invalid={error ? 'true' : undefined}
        onChange={(event) => onValue(event.currentTarget.checked)}
      />
      <div>
        <label for={id}>{label}</label>
        {hint && (
          <p id={hintId} class={css.hint}>
            {hint}
          </p>
        )}
        <FieldError id={errorId} error={error} />
      </div>
    </div>
  );
}

interface TextAreaProps extends ControlProps {
  value: string;
  onValue: (value: string) => void;
  rows?: number;
  placeholder?: string;
  mono?: boolean;
}

/** Several lines of text. */
export function TextAreaField({
  label,
  hint,
  error,
  required,
  labelHidden,
  value,
  onValue,
  mono,
  rows = 4,
  ...rest
}: TextAreaProps) {
  return (
    <Field label={label} hint={hint} error={error} required={required} labelHidden={labelHidden}>
      {(ids) => (
        <textarea
          {...ids}
          {...rest}
          rows={rows}
          class={cx(css.control, css.area, mono && css.mono)}
          value={value}
          spellcheck={false}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
