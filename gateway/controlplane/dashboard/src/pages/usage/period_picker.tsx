import { dayText, readersZone } from '../../lib/days';
import { usage as words } from '../../strings/usage';
import { Choice, TextField } from '../../ui';
import { daysOf, type Period, type PeriodQuery, PRESETS } from './period';
import css from './usage.module.css';

/** Chooses the period; what was chosen stands in the address. */
export function PeriodPicker(props: {
  period: Period;
  today: number;
  onChange: (change: PeriodQuery, how?: { replace?: boolean }) => void;
}) {
  const { period, onChange } = props;
  const days = daysOf(period);
  const most = dayText(props.today);
  return (
    <>
      <Choice
        label={words.period.label}
        options={PRESETS.map((value) => ({ value, label: words.period[value] }))}
        value={period.preset}
        onValue={(preset) =>
          onChange({
            period: preset === '30d' ? undefined : preset,
            from: preset === 'custom' ? days.from : undefined,
            to: preset === 'custom' ? days.to : undefined,
          })
        }
      />
      {period.preset === 'custom' && (
        <div class={css.dates}>
          <DateField
            label={words.period.from}
            value={days.from}
            most={most}
            onValue={(from) => onChange({ period: 'custom', from, to: days.to }, { replace: true })}
          />
          <DateField
            label={words.period.to}
            value={days.to}
            most={most}
            onValue={(to) => onChange({ period: 'custom', from: days.from, to }, { replace: true })}
          />
        </div>
      )}
    </>
  );
}

function DateField(props: { label: string; value: string; most: string; onValue: (day: string) => void }) {
  return (
    <TextField
      type="date"
      label={props.label}
      value={props.value}
      onValue={(day) => {
        // While a date is being typed it is empty, or of the first century.
        if (day > '2000' && day <= props.most) props.onValue(day);
      }}
    />
  );
}

/** Says whose days are meant. */
export function DaysNote({ period }: { period: Period }) {
  return (
    <p class={css.note}>{period.isLocal ? words.period.localDays(readersZone()) : words.period.utcDays}</p>
  );
}
