SELECT said FROM erasures JOIN erased_members USING (number) WHERE member = ? ORDER BY number DESC LIMIT 1;
