#!/usr/bin/env bash
# One run of run.py for each seed, one after the other: finished ones are skipped, interrupted ones continued.
# -f: a stray * among the seeds is not replaced by file names.
set -uf

usage='usage: ./sweep_seeds.sh SEEDS [--list | --status] [OPTION OF run.py]...
  SEEDS     different numbers and ranges, as "1 2 5" or 1-5; at most 1000
  --list    print one shell command for each seed that is not over, and write nothing
  --status  print the state of each seed, read from its folder alone
  --version in place of SEEDS: print the version and the commit of this program
  PYTHON    environment variable: the interpreter; default .venv/bin/python next to this script, else python3
example: ./sweep_seeds.sh 1-5 --algorithm=GAIT --orthogonal_reg=0.1 --nb_layers=4'
# Text that cannot be printed is dropped: a reader that leaves must not end the sweep.
trap '' PIPE
{ : <&0; } 2>/dev/null || exec </dev/null
{ : >&2; } 2>/dev/null || exec 2>/dev/null
{ : >&1; } 2>/dev/null || exec >/dev/null
say() { echo "$@" 2>/dev/null || :; }

here=$(CDPATH='' cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")" && pwd) || exit 1 # also where this is a link to it

refuse() {
  echo "sweep_seeds.sh: $1" >&2
  exit 2
}

# The bound of --seeds of run.py: a longer list is probably a typing error.
most=1000

# Print the seeds of "1-3 7", one per line.
expand() {
  local number='(0|[1-9][0-9]{0,8})' word
  for word in ${1//,/ }; do
    if [[ $word =~ ^$number$ ]]; then
      echo "$word"
    elif [[ $word =~ ^$number-$number$ && ${BASH_REMATCH[1]} -le ${BASH_REMATCH[2]} ]]; then
      [[ $((BASH_REMATCH[2] - BASH_REMATCH[1])) -lt $most ]] || refuse "seeds '$word': must be at most $most seeds"
      seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
      refuse "seeds '$word': must be a whole number such as 3 or a range such as 1-5"
    fi
  done
}

case ${1-} in
  -h | --help) say "$usage" && exit 0 ;;
  --version) ;;
  '' | -*) refuse "the seeds are missing; $usage" ;;
esac
for option in "${@:2}"; do
  case $option in
    --seed | --seed=* | --seeds | --seeds=*) refuse "$option: the seeds are the first argument" ;;
    --dry_run) refuse "$option: tells about a single run of run.py; --list prints the runs" ;;
    --load | --load_or_start | --overwrite) refuse "$option: finished runs are skipped and interrupted ones continued anyway" ;;
    -h | --help) refuse "$option: python run.py --help lists the options" ;;
    --version) refuse "$option: must stand in place of the seeds" ;;
  esac
done
python=${PYTHON:-$here/.venv/bin/python}
[[ -n ${PYTHON-} || -x $python ]] || python=python3
command -v "$python" >/dev/null || refuse "PYTHON=$python: there is no such program"
if [[ $1 == --version ]]; then
  version=$("$python" "$here/list_seeds.py" --version) || exit
  say "sweep_seeds.sh ${version#* }" && exit
fi
seeds=$(expand "$1") || exit 2
[[ -n $seeds ]] || refuse "the seeds are missing; $usage"
count=$(wc -w <<<"$seeds")
[[ $count -le $most ]] || refuse "seeds '$1': must be at most $most seeds"
twice=$(sort <<<"$seeds" | uniq -d | head -1)
[[ -z $twice ]] || refuse "seeds '$1': seed $twice is given more than once"
for option in "${@:2}"; do
  case $option in
    --list | --status) exec "$python" "$here/list_seeds.py" "$(echo $seeds)" "${@:2}" ;;
  esac
done
stopped='' run=''
# Pass a signal on to the run, which saves: pass_on NAME STATUS.  A terminal's Ctrl-C reaches it twice, which changes nothing.
pass_on() {
  stopped=${stopped:-$2}
  [[ -z $run ]] || kill -s "$1" "$run" 2>/dev/null
}
trap 'pass_on INT 130' INT
trap 'pass_on TERM 143' TERM
trap 'pass_on TERM 129' HUP
trap 'pass_on TERM 138' USR1
trap 'pass_on TERM 140' USR2
trap 'pass_on TERM 152' XCPU

# Print the time that is left, estimated from the seeds that were not skipped at once.
left() {
  [[ $ended -gt 0 && $SECONDS -gt 2 ]] || return 0
  echo ", about $(((SECONDS * (count - ended) / ended + 59) / 60)) min left"
}

done=0 failed=() ended=0
for seed in $seeds; do
  say "seed $seed ($((ended + 1)) of $count$(left))"
  # in the background, so that a signal is handed on at once; there a shell ignores SIGINT, which must not be inherited
  (trap - INT && exec "$python" "$here/run.py" "${@:2}" --seed="$seed" --load_or_start) <&0 &
  run=$!
  # a signal that came while the run was started could not be handed on yet
  [[ -z $stopped ]] || kill -s TERM "$run" 2>/dev/null
  until wait "$run"; status=$?; ! kill -0 "$run" 2>/dev/null; do :; done
  run=''
  ended=$((ended + 1))
  case $status in 129 | 130 | 138 | 140 | 143 | 152) stopped=${stopped:-$status} ;; esac
  if [[ -n $stopped ]]; then
    printf 'sweep_seeds.sh: stopped at seed %s; the same command continues:' "$seed" >&2
    printf ' %q' "$0" "$@" >&2
    echo >&2
    exit "$stopped"
  elif [[ $status -eq 0 ]]; then
    done=$((done + 1))
  else
    failed+=("$seed (exit status $status)")
  fi
done
say "sweep_seeds.sh: $done of $((done + ${#failed[@]})) seeds finished"
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'sweep_seeds.sh: failed: seed %s\n' "${failed[@]}" >&2
  exit 1
fi
