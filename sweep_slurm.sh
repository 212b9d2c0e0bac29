#!/usr/bin/env bash
# Submit a list of runs, one shell command per line, as one Slurm job array: each task runs one of them to its end.
#SBATCH --job-name=credit --cpus-per-task=1 --mem=2G --requeue --open-mode=append --signal=B:USR1@120
set -u

usage='usage: ./sweep_slurm.sh RUNS.txt [OPTION OF sbatch]...
  RUNS.txt   what --list of run_seed_robustness.py, run_pipeline.py, sweep_seeds.sh or campaign.py prints
  --version  in place of RUNS.txt: print the version and the commit of this program
example: ./sweep_slurm.sh runs.txt --partition=cpu --time=24:00:00
A task whose time is nearly up, or which is preempted, saves its run and is queued again.  Output: RUNS.txt.log/'

refuse() {
  echo "sweep_slurm.sh: $1" >&2
  exit 2
}

# Copy the list into its folder of logs, so that another list of this name changes no task, and submit one task per line.
submit() {
  local list here copy version
  here=$(CDPATH='' cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")" && pwd) || exit 1
  case ${1-} in
    -h | --help) echo "$usage" && exit 0 ;;
    --version) version=$("$here/sweep_seeds.sh" --version) && echo "sweep_slurm.sh ${version#* }" && exit 0 || exit 1 ;;
    '' | -*) refuse "the list of runs is missing; $usage" ;;
  esac
  [[ -f $1 && -r $1 ]] || refuse "$1: is not a file that can be read"
  command -v sbatch >/dev/null || refuse "there is no sbatch here; on one machine: xargs -d '\\n' -P2 -I{} sh -c '{}' <$(printf %q "$1")"
  list=$(realpath "$1") || exit 1
  mkdir -p "$list.log" && copy=$(mktemp "$list.log/list.XXXXXX") || refuse "$list.log: cannot be written"
  if ! grep -v '^[[:space:]]*$' "$list" >"$copy"; then
    rm "$copy"
    refuse "$1: is empty; nothing is left to do"
  fi
  exec sbatch --chdir="$PWD" --array="1-$(wc -l <"$copy")" --output="$list.log/%A_%a.txt" "${@:2}" "$here/sweep_slurm.sh" "$copy"
}

[[ -n ${SLURM_ARRAY_TASK_ID-} ]] || submit "$@"

threads=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads MKL_NUM_THREADS=$threads
again=
trap 'again=yes; kill -TERM "$run"' USR1 # The time is nearly up: save, and queue again.
trap : TERM                              # Preempted: Slurm signals the run itself, and queues this task again.
# With exec, $! is the run itself, and not a shell that would leave it behind.
eval "exec $(sed -n "${SLURM_ARRAY_TASK_ID}p" "$1")" &
run=$!
until wait "$run"; status=$?; ! kill -0 "$run" 2>/dev/null; do :; done
# This names the task; SLURM_JOB_ID of the first task would name all of them.
if [[ -n $again && $status -eq 143 ]]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && sleep 60
fi
exit "$status"
