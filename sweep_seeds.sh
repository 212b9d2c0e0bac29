#!/usr/bin/env bash
# One run of run.py for each seed, one after the other: finished ones are skipped, interrupted ones continued.
set -uf # no file names in place of a stray * among the seeds

usage='usage: ./sweep_seeds.sh SEEDS [--list | --status] [OPTION OF run.py]...
  SEEDS     numbers and ranges, as "1 2 5" or 1-5
  --list    print one shell command for each seed that is not over, and write nothing
  --status  print how each seed stands, from its folder alone
  PYTHON    environment variable: the interpreter; default .venv/bin/python beside this script, else python3
example: ./sweep_seeds.sh 1-5 --algorithm=GAIT --orthogonal_reg=0.1 --nb_layers=4'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) || exit 1

refuse() {
  echo "sweep_seeds.sh: $1" >&2
  exit 2
}

# Print the seeds of "1-3 7" one a line.
expand() {
  local number='(0|[1-9][0-9]{0,8})' word
  for word in $1; do
    if [[ $word =~ ^$number$ ]]; then
      echo "$word"
    elif [[ $word =~ ^$number-$number$ && ${BASH_REMATCH[1]} -le ${BASH_REMATCH[2]} ]]; then
      seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
      refuse "seeds '$word': must be a whole number such as 3 or a range such as 1-5"
    fi
  done
}

case ${1-} in
  -h | --help) echo "$usage" && exit 0 ;;
  '' | -*) refuse "the seeds are missing; $usage" ;;
esac
for option in "${@:2}"; do
  case $option in
    --seed | --seed=*) refuse "$option: the seeds are the first argument" ;;
    --load | --load_or_start | --overwrite) refuse "$option: finished runs are skipped and interrupted ones continued anyway" ;;
    -h | --help) refuse "$option: python run.py --help lists the options" ;;
  esac
done
seeds=$(expand "$1") || exit 2
[[ -n $seeds ]] || refuse "the seeds are missing; $usage"
python=${PYTHON:-$here/.venv/bin/python}
[[ -n ${PYTHON-} || -x $python ]] || python=python3
command -v "$python" >/dev/null || refuse "PYTHON=$python: there is no such program"
for option in "${@:2}"; do
  case $option in
    --list | --status) exec "$python" "$here/list_seeds.py" "$(echo $seeds)" "${@:2}" ;;
  esac
done
stopped=
trap 'stopped=yes' INT TERM # run.py gets the Ctrl-C, too, and saves; the trap is for what comes after it

# Print what time is left, reckoned from the seeds that were not skipped at once.
left() {
  [[ $ended -gt 0 && $SECONDS -gt 2 ]] || return 0
  echo ", about $(((SECONDS * (count - ended) / ended + 59) / 60)) min left"
}

done=0 failed=() ended=0 count=$(wc -w <<<"$seeds")
for seed in $seeds; do
  echo "seed $seed ($((ended + 1)) of $count$(left))"
  "$python" "$here/run.py" "${@:2}" --seed="$seed" --load_or_start
  status=$?
  ended=$((ended + 1))
  if [[ -n $stopped || $status -eq 130 || $status -eq 143 ]]; then
    printf 'sweep_seeds.sh: stopped at seed %s; the same command goes on:' "$seed" >&2
    printf ' %q' "$0" "$@" >&2
    echo >&2
    exit 130
  elif [[ $status -eq 0 ]]; then
    done=$((done + 1))
  else
    failed+=("$seed (exit status $status)")
  fi
done
echo "sweep_seeds.sh: $done of $((done + ${#failed[@]})) seeds finished"
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'sweep_seeds.sh: failed: seed %s\n' "${failed[@]}" >&2
  exit 1
fi
