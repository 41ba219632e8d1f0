SELECT customer, digest FROM scores_told WHERE customer > :after AND customer <= :last;
