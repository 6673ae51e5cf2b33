#!/usr/bin/env bash
# A job of an array that queues itself again by its own number may queue the whole array again.
#
# Versions: Slurm 22.05.8 (Debian 12: `apt-get install --no-install-recommends slurm-wlm munge`); root or not, no systemd.
#
# Every job of an array has a number of its own, `SLURM_JOB_ID`, and recipes for preemption say `scontrol requeue
# $SLURM_JOB_ID` in the script when the signal of `--signal=B:USR1@…` comes. But one job of each array has the number of the
# array itself, and `scontrol requeue` takes that number for all of its jobs: the others, which have done nothing but run,
# are stopped and begin anew. `${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}` means one job alone.
#
# Seen on 2026-11-28: of an array of 3, in which only the job with the array's own number asked for it,
#   by SLURM_JOB_ID: 3 began again
#   by array and task: 1 began again
set -euo pipefail
folder=$(mktemp -d)
export SLURM_CONF=$folder/slurm.conf
daemons=()
end() {
    scancel --me 2>/dev/null || true
    sleep 2
    kill "${daemons[@]}" 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
mkdir -m 700 keys
mkdir state n1
head -c 1024 /dev/urandom >keys/key
chmod 400 keys/key
cat >slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/keys/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/n1
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16818 CPUs=4
PartitionName=all Nodes=n1 Default=YES State=UP
CONF
PATH=$PATH:/usr/sbin
munged --foreground --force --key-file=keys/key --socket="$folder/keys/socket" --pid-file="$folder/keys/pid" \
    --log-file="$folder/keys/log" --seed-file="$folder/keys/seed" 2>/dev/null &
daemons+=($!)
sleep 1
slurmctld -D >ctld.log 2>&1 &
daemons+=($!)
slurmd -D -N n1 >d.log 2>&1 &
daemons+=($!)
until [[ $(sinfo -h -o %T 2>/dev/null) == idle ]]; do sleep 0.5; done

# How many of three jobs begin again when the one with the array's own number asks to be queued again as `$1`.
again() {
    rm -f begun-*
    cat >job.sh <<JOB
#!/bin/bash
echo "\$SLURM_JOB_ID" >>$folder/begun-\$SLURM_ARRAY_TASK_ID
if [[ \$SLURM_JOB_ID == "\$SLURM_ARRAY_JOB_ID" && -z \$SLURM_RESTART_COUNT ]]; then
    until [[ \$(ls $folder/begun-* | wc -l) == 3 ]]; do sleep 0.2; done
    scontrol requeue "$1"
fi
sleep 60
JOB
    sbatch --parsable --requeue --array=0-2 --output=/dev/null job.sh >/dev/null
    for _ in {1..20}; do
        sleep 1
        # A job that was queued again waits for two minutes, which tells nothing here.
        squeue -h -r -t PENDING -o %i | while read -r job; do scontrol update job="$job" StartTime=now 2>/dev/null || true; done
    done
    scancel --me
    cat begun-* | sort | uniq -d | wc -l
    sleep 3
}

own=$(again '$SLURM_JOB_ID')
alone=$(again '${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}')
echo "by SLURM_JOB_ID: $own began again"
echo "by array and task: $alone began again"
[[ $own == 3 && $alone == 1 ]]
