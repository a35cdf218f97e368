#!/bin/bash
#SBATCH --job-name=ualm
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
# Answers one shard of a file of requests in each task of an array: sbatch --array=1-8 batch.sh REQUESTS.jsonl DIR
set -uo pipefail

requests=${1:?usage: sbatch --array=1-N batch.sh REQUESTS.jsonl DIR}
out=${2:?usage: sbatch --array=1-N batch.sh REQUESTS.jsonl DIR}
if [ "${SLURM_ARRAY_TASK_MIN:-1}" != 1 ]; then
    echo "the array begins with $SLURM_ARRAY_TASK_MIN; expected 1: --array=1-N" >&2
    exit 2
fi

"${UALM:-ualm}" batch "$requests" --out "$out" --threads "${SLURM_CPUS_PER_TASK:-1}" \
    --shard "${SLURM_ARRAY_TASK_ID:?expected a task of an array: --array=1-N}/${SLURM_ARRAY_TASK_COUNT:?}" &
program=$!
trap 'kill -TERM "$program"' TERM
wait "$program"
code=$?
if [ "$code" -gt 128 ]; then # a signal interrupted the first wait
    wait "$program"
    code=$?
fi
if [ "$code" = 130 ]; then # the time limit: the task resumes later
    scontrol requeue "${SLURM_JOB_ID:?}"
    exit 0
fi
echo "shard $SLURM_ARRAY_TASK_ID ended with code $code; when all have: ualm batch merge $requests --out $out"
exit "$code"
