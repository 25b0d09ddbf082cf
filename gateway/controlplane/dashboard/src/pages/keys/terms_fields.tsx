import { formatTime } from '../../lib/format';
import { keys as words } from '../../strings/keys';
import { NumberField, SelectField, TextField } from '../../ui';
import css from './keys.module.css';
import {
  type Expiry,
  type FormErrors,
  LIFETIMES,
  type LimitName,
  modelsOf,
  RATES,
  type TermsForm,
  TOKEN_BUDGETS,
  termsInWords,
  USD_BUDGETS,
} from './limits';

/** The fields that say what a key may do, and what they come to in words. */
export function TermsFields(props: {
  form: TermsForm;
  errors: FormErrors;
  onForm: (form: TermsForm) => void;
  /** When the key expires that is changed: null for never; undefined for a new key. */
  expiresAt?: number | null;
}) {
  const { form, errors, onForm } = props;
  const limit = (name: LimitName, whole: boolean) => (
    <NumberField
      key={name}
      label={words.form.labels[name]}
      value={form.limits[name]}
      error={errors[name]}
      min={0}
      step={whole ? 1 : 'any'}
      onValue={(value) => onForm({ ...form, limits: { ...form.limits, [name]: value } })}
    />
  );
  return (
    <div class={css.form}>
      <TextField
        label={words.form.name}
        hint={words.form.nameHint}
        value={form.name}
        error={errors.name}
        required
        maxlength={100}
        autocomplete="off"
        onValue={(name) => onForm({ ...form, name })}
      />
      <div class={css.two}>
        <SelectField
          label={words.form.expiry}
          value={form.expiry}
          onValue={(expiry) => onForm({ ...form, expiry: expiry as Expiry })}
          options={expiries(props.expiresAt)}
        />
        {form.expiry === 'date' && (
          <TextField
            type="date"
            label={words.form.day}
            value={form.day}
            error={errors.day}
            required
            onValue={(day) => onForm({ ...form, day })}
          />
        )}
      </div>
      <TextField
        label={words.form.models}
        hint={words.form.modelsHint}
        value={form.models}
        error={errors.models}
        placeholder={words.allModels}
        autocomplete="off"
        mono
        onValue={(models) => onForm({ ...form, models })}
      />
      <fieldset class={css.group}>
        <legend>{words.form.budgets}</legend>
        <p class={css.hint}>{words.form.budgetsHint}</p>
        <div class={css.three}>{USD_BUDGETS.map((name) => limit(name, false))}</div>
      </fieldset>
      <fieldset class={css.group}>
        <legend>{words.form.rates}</legend>
        <p class={css.hint}>{words.form.ratesHint}</p>
        <div class={css.three}>{RATES.map((name) => limit(name, true))}</div>
      </fieldset>
      <fieldset class={css.group}>
        <legend>{words.form.tokenBudgets}</legend>
        <p class={css.hint}>{words.form.tokenBudgetsHint}</p>
        <div class={css.three}>{TOKEN_BUDGETS.map((name) => limit(name, true))}</div>
      </fieldset>
      <p class={css.summary} role="status">
        <strong>{words.form.summary}:</strong> {termsInWords(form.limits, modelsOf(form.models))}
      </p>
    </div>
  );
}

function expiries(expiresAt: number | null | undefined): { value: Expiry; label: string }[] {
  const lifetimes = Object.keys(LIFETIMES) as (keyof typeof LIFETIMES)[];
  const kept =
    expiresAt === undefined
      ? []
      : [
          {
            value: 'keep' as const,
            label: expiresAt === null ? words.form.keepNever : words.form.keep(formatTime(expiresAt, 'date')),
          },
        ];
  return [
    ...kept,
    ...(expiresAt === null ? [] : [{ value: 'never' as const, label: words.form.never }]),
    ...lifetimes.map((value) => ({ value, label: words.form.in[value] })),
    { value: 'date' as const, label: words.form.date },
  ];
}
